"""A callback of Lightning that measures a module with `encode` and `decode` after some epochs.

trainer = pl.Trainer(callbacks=[Evaluation(), ModelCheckpoint(monitor="ssim", mode="max")])
"""

import warnings
from collections.abc import Mapping

import pytorch_lightning as pl  # or: import lightning.pytorch as pl

from benchmarks import evaluate, systems
from benchmarks.plugin import UserError


class Evaluation(pl.Callback):
    """Logs the first value of each metric, on images of the size of those in the module's batch."""

    every = 10  # epochs

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if not trainer.is_last_batch or (trainer.current_epoch + 1) % self.every:
            return
        parts = list(batch.values()) if isinstance(batch, Mapping) else batch
        parts = parts if isinstance(parts, list | tuple) else [parts]
        maps = [x for x in parts if getattr(x, "ndim", 0) == 4 and x.is_floating_point()]
        images = next((x for x in maps if x.shape[1] == 3), None)  # not a mask
        if images is None:
            raise UserError(
                f"{type(module).__name__}: there are no images N x 3 x S x S in its batch"
            )
        try:
            model = systems.wrap(module, image_size=images.shape[-1], title=type(module).__name__)
            results = evaluate(model, tasks="reconstruction", profile="smoke", progress=False)
        except UserError as error:
            return warnings.warn(f"not measured: {error}", stacklevel=2)
        for row in results.failures:
            warnings.warn(f"not measured: {row.note}", stacklevel=2)
        numbers = results.frame().dropna(subset="value").groupby("metric")["value"]
        values = numbers.first().to_dict()
        module.log_dict(values, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
