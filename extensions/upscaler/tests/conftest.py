"""What the tests here share: a folder of models of its own, with a tiny net in it that adds nothing to nearest neighbour."""

import pytest


@pytest.fixture
def host(tmp_path):
    from modules.plugins import Host

    (tmp_path / "models" / "upscalers").mkdir(parents=True)
    folder = tmp_path / "extension"
    return Host("upscaler", folder, tmp_path / "models", tmp_path / "data", "cpu")


@pytest.fixture
def add_model(host):
    """Write a random Compact net of a factor; `nearest` makes it plain nearest neighbour."""

    def add(name, scale, *, nearest=False, seed=0, suffix=".safetensors", wrap=None):
        import torch
        from safetensors.torch import save_file
        from spandrel.architectures.Compact import Compact

        torch.manual_seed(seed)
        net = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=scale)
        weights = {key: value.clone() for key, value in net.state_dict().items()}
        if nearest:
            for key in list(weights)[-2:]:
                weights[key].zero_()
        path = host.models / "upscalers" / f"{name}{suffix}"
        if suffix == ".safetensors":
            save_file(weights, path)
        else:
            torch.save({wrap: weights} if wrap else weights, path)
        return path

    return add
