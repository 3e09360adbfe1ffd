@echo off
rem Starts Noisette on Windows, and makes what it needs the first time. The same as launch.sh; see there for the variables
rem NOISETTE_PYTHON, TORCH_INDEX_URL, NOISETTE_TORCH and NOISETTE_SKIP_SPACE_CHECK.
rem
rem   launch.bat [COMMAND] [arguments]    .venv\Scripts\python webui.py COMMAND ...; without a command: serve
rem   launch.bat test [arguments]         the tests: all of them, or pytest with these arguments
setlocal EnableExtensions DisableDelayedExpansion
chcp 65001 >nul

set "ROOT=%~dp0"
set "VENV=%ROOT%.venv"
set "PYTHON=%VENV%\Scripts\python.exe"
set "LOCK=%ROOT%.venv.lock"
set "LOG=%VENV%\install.log"
set "STAMP=%VENV%\noisette-stamp"
set "EXPECTED=%VENV%\noisette-expected"
set "TEST_STAMP=%VENV%\noisette-test-stamp"
set "BASE_FILE=%VENV%\noisette-base"
set "TORCH_FILE=%VENV%\noisette-torch"

rem Settings that would lead this Python or its pip to other packages than those of the environment.
set "PYTHONHOME="
set "PYTHONPATH="
set "PIP_TARGET="
set "PIP_PREFIX="
set "PIP_USER="
set "PIP_REQUIRE_VIRTUALENV="

set "TESTING="
if "%~1"=="test" set "TESTING=1"

call :all_ready
if not errorlevel 1 goto start

rem One at a time. The file stays open while we install and Windows closes it with us, so a lock is never left behind.
set "TOLD="
:acquire
set "GOT="
set "RESULT=1"
9>&2 2>nul (8>"%LOCK%" (2>&9 (set "GOT=1" & call :install_all)))
if defined GOT goto acquired
if not exist "%LOCK%" (
    call :say "noisette: cannot write in %ROOT%" "Move Noisette to a folder that you may write to." "无法写入该文件夹。请把 Noisette 移到有写权限的位置。"
    exit /b 1
)
if not defined TOLD echo Another start is installing; waiting for it. 另一个启动进程正在安装，请稍候。
set "TOLD=1"
ping -n 3 127.0.0.1 >nul
goto acquire
:acquired
del "%LOCK%" >nul 2>nul
if not "%RESULT%"=="0" exit /b %RESULT%

:start
if defined TESTING goto tests
"%PYTHON%" "%ROOT%webui.py" %*
exit /b %errorlevel%

:tests
set "REST="
for /f "tokens=1,*" %%a in ("%*") do set "REST=%%b"
cd /d "%ROOT%"
if defined REST (
    "%PYTHON%" -m pytest %REST%
    exit /b
)
rem Those that drive a browser take as long again and want the machine to themselves: launch.bat test -m browser -n 0
"%PYTHON%" -m pytest -m "not browser"
exit /b

rem ---------------------------------------------------------------------------------------------- is all in place?

:all_ready
call :ready
if errorlevel 1 exit /b 1
if not defined TESTING exit /b 0
call :tests_ready
exit /b %errorlevel%

rem Compares the stamp with what the environment must have been made from; starts no Python.
:ready
if not exist "%PYTHON%" exit /b 1
if not exist "%STAMP%" exit /b 1
call :torch_choice
call :write_expected
fc /b "%STAMP%" "%EXPECTED%" >nul 2>nul
exit /b %errorlevel%

:tests_ready
if not exist "%TEST_STAMP%" exit /b 1
fc /b "%TEST_STAMP%" "%ROOT%requirements\test.txt" >nul 2>nul
exit /b %errorlevel%

:write_expected
copy /b /y "%ROOT%requirements\lock.txt" + "%ROOT%requirements\torch.txt" "%EXPECTED%" >nul
call :base_choice
>>"%EXPECTED%" (
    echo place "%ROOT%"
    findstr /b "version" "%VENV%\pyvenv.cfg"
    echo base "%BASE_CHOICE%"
    echo torch "%WORDS%" from "%INDEX%"
)
exit /b 0

rem The Python that is asked for now; when none is named, the one that the environment was made with.
:base_choice
set "BASE_CHOICE=%NOISETTE_PYTHON%"
if not defined BASE_CHOICE if exist "%BASE_FILE%" set /p BASE_CHOICE=<"%BASE_FILE%"
exit /b 0

rem The torch that is asked for now; when nothing is said, the one that was asked for at the installation.
:torch_choice
set "WORDS=lock"
set "INDEX=pip"
if defined NOISETTE_TORCH set "WORDS=%NOISETTE_TORCH:"='%"
if defined TORCH_INDEX_URL set "INDEX=%TORCH_INDEX_URL%"
if defined NOISETTE_TORCH exit /b 0
if defined TORCH_INDEX_URL exit /b 0
if not exist "%TORCH_FILE%" exit /b 0
for /f "usebackq tokens=1,* delims=|" %%a in ("%TORCH_FILE%") do (
    set "WORDS=%%a"
    set "INDEX=%%b"
)
exit /b 0

rem ---------------------------------------------------------------------------------------------- installing

rem Sets RESULT to 0 when everything is in place.
:install_all
set "RESULT=1"
call :ready
if errorlevel 1 (
    call :install
    if errorlevel 1 exit /b 1
)
if defined TESTING (
    call :tests_ready
    if errorlevel 1 (
        set PIP_WHAT=--no-deps --require-hashes -r "%ROOT%requirements\test.txt"
        call :pip_install "requirements\test.txt"
        if errorlevel 1 exit /b 1
        copy /b /y "%ROOT%requirements\test.txt" "%TEST_STAMP%" >nul
    )
)
set "RESULT=0"
exit /b 0

:install
call :torch_choice
call :consider_torch
call :check_space
if errorlevel 1 exit /b 1
rem From here on the environment is unfinished.
if exist "%STAMP%" del "%STAMP%"
if exist "%TEST_STAMP%" del "%TEST_STAMP%"
call :make_environment
if errorlevel 1 exit /b 1
call :remove_other_torch
>"%TORCH_FILE%" echo %WORDS%^|%INDEX%
rem The lock is complete, hence --no-deps: pip takes exactly these files or stops.
set PIP_WHAT=--no-deps --require-hashes -r "%ROOT%requirements\lock.txt"
call :pip_install "requirements\lock.txt"
if errorlevel 1 exit /b 1
set PIP_WHAT=%WORDS:'="%
if "%WORDS%"=="lock" set PIP_WHAT=-r "%ROOT%requirements\torch.txt"
if not "%INDEX%"=="pip" set PIP_WHAT=%PIP_WHAT% --index-url "%INDEX%"
call :pip_install "PyTorch"
if errorlevel 1 exit /b 1
>"%VENV%\Scripts\noisette.cmd" echo @"%%~dp0python.exe" "%%~dp0..\..\webui.py" %%*
call :write_expected
rem The last act.
move /y "%EXPECTED%" "%STAMP%" >nul
echo Everything is installed. 安装完成。
exit /b 0

:consider_torch
set "NEED_GB=3"
if not "%WORDS%|%INDEX%"=="lock|pip" (
    set "NEED_GB=7"
    exit /b 0
)
where nvidia-smi >nul 2>nul
if errorlevel 1 exit /b 0
echo NVIDIA found. On Windows the PyTorch that pip gives by itself is the CPU build; it works, slowly.
echo For the GPU: break off with Ctrl+C, run   set "TORCH_INDEX_URL=<PyTorch's CUDA index, see the PyTorch install page>"   and start again.
echo 检测到 NVIDIA 显卡。Windows 上 pip 默认安装 CPU 版 PyTorch。如需使用显卡，请按 Ctrl+C，将 TORCH_INDEX_URL 设为 PyTorch 的 CUDA 索引后重新启动。
exit /b 0

:check_space
if "%NOISETTE_SKIP_SPACE_CHECK%"=="1" exit /b 0
rem What an earlier installation has there already is not counted twice.
if exist "%PYTHON%" exit /b 0
set "FREE_GB="
for /f %%g in ('powershell -NoProfile -Command "[math]::Floor((New-Object IO.DriveInfo([IO.Path]::GetPathRoot($env:ROOT))).AvailableFreeSpace / 1GB)" 2^>nul') do set "FREE_GB=%%g"
if not defined FREE_GB exit /b 0
if %FREE_GB% GEQ %NEED_GB% exit /b 0
call :say "noisette: not enough disk space: %ROOT% has %FREE_GB% GB free, the installation needs about %NEED_GB% GB." "Make room, or move Noisette to a larger disk. To install all the same: set NOISETTE_SKIP_SPACE_CHECK=1" "磁盘空间不足：剩余 %FREE_GB% GB，安装约需 %NEED_GB% GB。请清理空间；要强制安装请设 NOISETTE_SKIP_SPACE_CHECK=1。"
exit /b 1

:make_environment
if not exist "%VENV%\" goto new_environment
if exist "%VENV%\pyvenv.cfg" goto old_environment
dir /b /a "%VENV%" 2>nul | findstr . >nul
if errorlevel 1 goto new_environment
call :say "noisette: %VENV% is there, but it is no Python environment." "Move it away and start again." "请移走该文件夹后重新启动。"
exit /b 1

rem Used again when its Python still runs, is one of ours and is the one that is asked for.
:old_environment
"%PYTHON%" -c "import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" >nul 2>nul
if errorlevel 1 goto new_environment
set "RECORDED="
if exist "%BASE_FILE%" set /p RECORDED=<"%BASE_FILE%"
call :base_choice
if "%BASE_CHOICE%"=="%RECORDED%" exit /b 0

:new_environment
call :find_python
if errorlevel 1 exit /b 1
echo Making the Python environment in %VENV% ...
%BASE% -m venv --clear "%VENV%"
if errorlevel 1 (
    call :say "noisette: %BASE_NAME% could not make the environment in %VENV%; its messages stand above." "Install Python 3.12 from its home page with pip included, and start again." "无法创建虚拟环境，详见上方信息。"
    exit /b 1
)
>"%BASE_FILE%" echo %BASE_NAME%
exit /b 0

rem Sets BASE, the words that start a Python that can make the environment.
:find_python
set "SEEN="
if not defined NOISETTE_PYTHON goto look_for_python
set BASE="%NOISETTE_PYTHON%"
set "BASE_NAME=%NOISETTE_PYTHON%"
call :try_python
if not errorlevel 1 exit /b 0
call :say "noisette: NOISETTE_PYTHON is %NOISETTE_PYTHON%, and it is no Python 3.11, 3.12 or 3.13 that runs. %SEEN%" "Set it to the path of one, or unset it to let Noisette look for one." "NOISETTE_PYTHON 指向的不是可运行的 Python 3.11–3.13。请更正或取消该变量。"
exit /b 1
:look_for_python
for %%v in (3.13 3.12 3.11) do (
    set "BASE=py -%%v"
    set "BASE_NAME=py -%%v"
    call :try_python
    if not errorlevel 1 exit /b 0
)
for %%n in (python python3) do (
    set "BASE=%%n"
    set "BASE_NAME=%%n"
    call :try_python
    if not errorlevel 1 exit /b 0
)
if defined SEEN (
    call :say "noisette: Noisette needs Python 3.11, 3.12 or 3.13. Found only:%SEEN%" "Install one of them and start again, or name it: set NOISETTE_PYTHON=C:\path\to\python.exe" "Noisette 需要 Python 3.11、3.12 或 3.13，目前只找到:%SEEN%。请安装其中之一后重新启动。"
) else (
    call :say "noisette: no Python was found (looked for: py -3.13, -3.12, -3.11, python, python3)." "Install Python 3.12 (Microsoft Store, or: winget install Python.Python.3.12) and start again." "没有找到 Python。请安装 Python 3.12（Microsoft Store，或运行 winget install Python.Python.3.12）后重新启动。"
)
exit /b 1

:try_python
set "FOUND="
for /f %%v in ('%BASE% -c "import sys; print('%%d.%%d' %% sys.version_info[:2])" 2^>nul') do set "FOUND=%%v"
if not defined FOUND exit /b 1
for %%v in (3.13 3.12 3.11) do if "%FOUND%"=="%%v" (
    echo Using Python %FOUND%: %BASE_NAME%
    exit /b 0
)
set "SEEN=%SEEN% %BASE_NAME%=%FOUND%"
exit /b 1

rem A torch that was taken from elsewhere must go first: pip takes any build of the right version for the right build.
:remove_other_torch
if not exist "%TORCH_FILE%" exit /b 0
set "BEFORE="
set /p BEFORE=<"%TORCH_FILE%"
if "%BEFORE%"=="%WORDS%|%INDEX%" exit /b 0
echo Another build of PyTorch is asked for; removing the present one ...
"%PYTHON%" -m pip uninstall --quiet --yes torch torchvision
exit /b 0

rem pip_install WHAT, with the arguments for pip in PIP_WHAT: as arguments of a call, torch==2.14.1 would be parted at the "=".
:pip_install
echo Installing %~1 ...
if exist "%LOG%" del "%LOG%"
"%PYTHON%" -m pip install --disable-pip-version-check --no-input --log "%LOG%" %PIP_WHAT%
if not errorlevel 1 exit /b 0
findstr /c:"No space left on device" /c:"not enough space on the disk" "%LOG%" >nul 2>nul
if not errorlevel 1 (
    call :say "noisette: the disk ran full while installing %~1." "Make room and start again: what is there already is kept. Full log: %LOG%" "安装时磁盘已满。请清理空间后重新启动，已完成的部分会保留。"
    exit /b 1
)
findstr /c:"NewConnectionError" /c:"ConnectTimeout" /c:"ReadTimeout" /c:"NameResolutionError" /c:"getaddrinfo failed" /c:"unreachable network" /c:"ProxyError" /c:"SSLError" /c:"connection error" /c:"actively refused" /c:"ConnectionRefused" /c:"ConnectionResetError" /c:"IncompleteRead" "%LOG%" >nul 2>nul
if not errorlevel 1 (
    call :say "noisette: the package index could not be reached while installing %~1." "Check the connection and start again. Behind a proxy: set PIP_PROXY=http://proxy:port   Without a network: set PIP_NO_INDEX=1 and PIP_FIND_LINKS=C:\folder\of\wheels   Full log: %LOG%" "安装时无法连接软件包索引。请检查网络后重试；代理请设 PIP_PROXY；离线请设 PIP_NO_INDEX=1 和 PIP_FIND_LINKS。"
    exit /b 1
)
findstr /c:"DO NOT MATCH THE HASHES" "%LOG%" >nul 2>nul
if not errorlevel 1 (
    call :say "noisette: a package of %~1 is not the one that Noisette was made with (its checksum differs), so it was not installed." "Run .venv\Scripts\python -m pip cache purge and start again. Full log: %LOG%" "软件包校验和不符，未安装。请清除 pip 缓存后重试。"
    exit /b 1
)
findstr /c:"No matching distribution found" /c:"Could not find a version" "%LOG%" >nul 2>nul
if errorlevel 1 goto pip_failed
if defined PIP_NO_INDEX (
    call :say "noisette: a wheel is missing while installing %~1 without a network: PIP_NO_INDEX is set." "Put it into the folder that PIP_FIND_LINKS names, made for this machine and Python, and start again. Full log: %LOG%" "离线安装时缺少 wheel 文件。请将其放入 PIP_FIND_LINKS 指定的文件夹后重新启动。"
    exit /b 1
)
call :say "noisette: the package index has no build for this machine of a package of %~1." "Another Python may help: set NOISETTE_PYTHON=C:\path\to\python.exe   For torch, another index or wheel: TORCH_INDEX_URL, NOISETTE_TORCH. Full log: %LOG%" "软件包索引中没有适合本机的版本。可换一个 Python 版本；PyTorch 可用 TORCH_INDEX_URL 或 NOISETTE_TORCH 指定来源。"
exit /b 1
:pip_failed
call :say "noisette: pip could not install %~1. Its messages stand above; the full log is %LOG%" "Start again to go on where it stopped; removing the folder .venv starts from nothing." "pip 安装失败，详见上方信息和日志。重新启动会继续安装；删除 .venv 可从头开始。"
exit /b 1

rem One line each: what was found, what to do, and the same in Chinese.
:say
echo.
echo %~1
echo   %~2
echo   %~3
exit /b 0
