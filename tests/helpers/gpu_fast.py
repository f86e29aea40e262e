"""What `gpu_behaviour` and `waits` tell, in one process.

PYTHONPATH=.:tests/helpers python -m pretend_gpu gpu_fast
"""

import json

import gpu_behaviour
import waits

if __name__ == "__main__":
    print(json.dumps({"waits": waits.everything(), "behaviour": gpu_behaviour.everything()}))
