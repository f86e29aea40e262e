"""Networks of other systems than ours: plain modules, under the names that their authors' checkpoints use."""
