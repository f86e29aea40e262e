"""A replacement of `python -m benchmarks.run` that records its arguments and ends as STAND_IN says.

STAND_IN: "complete" (the default), "failed" without a folder, or "in part" with one.
"""

import json
import os
import shutil
import sys
from pathlib import Path

OVERVIEW = """benchmark,metric,setting,steps,value,reference
reconstruction,ssim,x_T inverted,10,0.75,False
unconditional,kid,,,,False
unconditional,kid,,,0.01,True
"""

if __name__ == "__main__":
    words, ending = sys.argv[1:], os.environ.get("STAND_IN", "complete")
    out = Path(words[words.index("--out") + 1])
    checkpoint = Path(words[words.index("--ckpt") + 1].partition("=")[2])
    told = Path(os.environ["STAND_IN_TOLD"])
    kept = told / str(len(list(told.iterdir())))
    shutil.copytree(checkpoint, kept)
    (kept / "words.json").write_text(json.dumps([words, sorted(os.environ)]))
    if ending != "failed":
        (out / "tables").mkdir(parents=True)
        (out / "tables" / "overview.csv").write_text(OVERVIEW)
        (out / "run.json").write_text(json.dumps({"complete": True}))
    if ending != "complete":
        sys.exit("error: 1 measurement failed\n")
