"""`doctor` names the GPU."""

import re


def test_doctor_says_device_capability_memory_and_driver(on_gpu):
    ended = on_gpu("benchmarks.run", "doctor")
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^cuda:0: .+, capability \d+\.\d, \d+\.\d GiB$", ended.stdout, re.M)
    assert re.search(r"^driver .+, CUDA .+, cuDNN .+$", ended.stdout, re.M)
