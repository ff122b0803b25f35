import logging

from detectron2.utils.events import CommonMetricPrinter, EventStorage

from comining.data import register_from_config
from comining.engine import Trainer
from comining.engine.printer import MinedLabelsPrinter


def printed(caplog, printer, steps):
    """The console line after steps in which the model logged some values."""
    caplog.clear()
    with EventStorage() as storage, caplog.at_level(logging.INFO):
        for values in steps:
            storage.put_scalars(**values)
            storage.step()
        printer.write()
    (record,) = caplog.records
    return record.getMessage()


def test_mined_labels_end_the_line(caplog):
    steps = [
        {"loss_cls": 2.0, "comining/mined_per_image": x, "comining/mined_per_image_aug": x + 1}
        for x in (0.0, 1.5, 9.0)
    ]
    line = printed(caplog, MinedLabelsPrinter(10), steps)
    assert "loss_cls: 2" in line
    # Medians, as of the losses.
    assert line.endswith("  mined_per_image: 1.5  mined_per_image_aug: 2.5")


def test_line_of_a_plain_detector_stays_as_it_is(caplog):
    steps = [{"loss_cls": 2.0, "lr": 0.1}]
    ours = printed(caplog, MinedLabelsPrinter(10), steps)
    assert ours == printed(caplog, CommonMetricPrinter(10), steps).rstrip()


def test_trainer_prints_and_writes_them(own_config, caplog, tmp_path):
    register_from_config(own_config)
    trainer = Trainer(own_config)
    with caplog.at_level(logging.INFO):
        trainer.train()
    lines = [r.getMessage() for r in caplog.records if "loss_cls: " in r.getMessage()]
    assert len(lines) == 1
    assert "iter: 1 " in lines[0]
    assert "  mined_per_image: 0  mined_per_image_aug: 0" in lines[0]
    assert (tmp_path / "output" / "metrics.json").exists()
