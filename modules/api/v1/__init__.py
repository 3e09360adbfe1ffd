"""`/sdapi/v1` and `/internal`: the API that programs of the A1111 family speak, in front of the same queue."""
