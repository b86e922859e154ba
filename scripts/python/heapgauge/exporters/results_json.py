"""results.json: the model itself (results/schema/results.schema.json)."""

import json


def render(model):
    """The model as JSON; never NaN or Infinity."""
    return json.dumps(model, indent=1, allow_nan=False) + "\n"
