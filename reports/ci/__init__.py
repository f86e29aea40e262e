"""The gate as a step of GitHub's CI: the job's environment, the API, the baseline as an artifact."""
