"""The model toolchain: recipes that train source models (`catalog`), and what makes artifacts of them (`compiler`)."""

import os

# ONNX Runtime's wheels since 1.29 send what they run to their maker, and keep an id of the machine in its user's cache.
# It reads this when it is loaded; whoever wants to take part sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
