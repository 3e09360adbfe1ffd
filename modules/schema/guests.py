"""How much guests may ask for; part of the settings."""

from pydantic import BaseModel, ConfigDict, Field


class GuestLimits(BaseModel):
    """Quotas of guests, beside the limits that hold for everybody's requests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs_waiting: int = Field(default=4, ge=1, description="jobs of one guest that wait or run")
    pictures_per_hour: int = Field(default=60, ge=1, description="of one guest")
    pictures_per_day: int = Field(default=300, ge=1, description="of one guest")
    work_per_hour: int = Field(
        default=20_000, ge=1, description="of one guest, in megapixels x steps"
    )
    all_jobs_waiting: int = Field(default=40, ge=1, description="of all guests together")
    all_pictures_per_day: int = Field(default=2000, ge=1, description="of all guests together")
    megabytes_per_hour: int = Field(
        default=500, ge=1, description="that one guest may hand in as pictures"
    )
