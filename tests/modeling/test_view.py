from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as TF

from comining.engine import load_config
from comining.errors import InputError
from comining.modeling import SecondView
from comining.modeling.view import ViewDraw, view_rng
from tests.modeling.helpers import tiny_config, tiny_model, two_items

PLAIN = ViewDraw(jitter=(), flip=False)
ALL_FOUR = (("hue", 0.15), ("contrast", 1.4), ("brightness", 0.7), ("saturation", 1.6))


def random_image(dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (3, 24, 32), generator=generator, dtype=torch.uint8).to(dtype)


def draws(view, number=400):
    return [view.draw(view_rng(1, iteration, 0, 0)) for iteration in range(number)]


class TestDraw:
    def test_ranges_are_those_of_torchvision(self):
        jitter = ColorJitter(0.8, 1.5, 0.3, 0.2)
        view = SecondView(jitter_prob=1, brightness=0.8, contrast=1.5, saturation=0.3, hue=0.2)
        drawn = [dict(draw.jitter) for draw in draws(view)]
        for name in ("brightness", "contrast", "saturation", "hue"):
            low, high = getattr(jitter, name)
            factors = np.array([draw[name] for draw in drawn])
            assert low <= factors.min() < low + 0.05 * (high - low)
            assert high >= factors.max() > high - 0.05 * (high - low)
            assert np.mean(factors) == pytest.approx((low + high) / 2, abs=0.1 * (high - low))

    def test_every_order_is_drawn(self):
        orders = Counter(
            tuple(name for name, _ in draw.jitter) for draw in draws(SecondView(jitter_prob=1))
        )
        assert len(orders) == 24
        assert max(orders.values()) < 40

    def test_probabilities(self):
        drawn = draws(SecondView(jitter_prob=0.8, flip_prob=0.3), 1000)
        assert np.mean([bool(draw.jitter) for draw in drawn]) == pytest.approx(0.8, abs=0.04)
        assert np.mean([draw.flip for draw in drawn]) == pytest.approx(0.3, abs=0.04)
        both = np.mean([draw.flip and bool(draw.jitter) for draw in drawn])
        assert both == pytest.approx(0.24, abs=0.04)

    @pytest.mark.parametrize("probability", [0.0, 1.0])
    def test_certainties(self, probability):
        view = SecondView(jitter_prob=probability, flip_prob=1 - probability)
        for draw in draws(view, 50):
            assert bool(draw.jitter) == bool(probability)
            assert draw.flip == (not probability)

    def test_a_function_of_the_four_counters_alone(self):
        view = SecondView()
        key = (3, 7, 2, 5)
        first = view.draw(view_rng(*key))
        np.random.seed(9)
        torch.manual_seed(9)
        assert view.draw(view_rng(*key)) == first
        others = [(4, 7, 2, 5), (3, 8, 2, 5), (3, 7, 3, 5), (3, 7, 2, 6)]
        assert len({first, *(view.draw(view_rng(*other)) for other in others)}) == 5

    def test_settings_do_not_shift_what_follows(self):
        """Switching the jitter off leaves the flips as they were, and the other way round."""
        plain = draws(SecondView(jitter_prob=0, flip_prob=0.5))
        assert [x.flip for x in draws(SecondView(jitter_prob=1, flip_prob=0.5))] == [
            x.flip for x in plain
        ]
        assert [x.jitter for x in draws(SecondView(flip_prob=0.5))] == [
            x.jitter for x in draws(SecondView())
        ]

    def test_processes_draw_views_of_their_own(self, monkeypatch):
        def second_views(rank):
            model = tiny_model("MODEL.COMINING.VIEW.JITTER_PROB", 1.0)
            monkeypatch.setattr(comm, "get_rank", lambda: rank)
            with EventStorage():
                return model.preprocess_image(two_items()).tensor[2:]

        first, again, other = map(second_views, (0, 0, 1))
        assert torch.equal(first, again)
        assert not any(map(torch.equal, first, other))

    def test_batches_of_an_iteration_get_views_of_their_own(self):
        """As where gradients are accumulated, and in detectron2's PreciseBN."""
        jitters = ("MODEL.COMINING.VIEW.JITTER_PROB", 1.0)

        def second_views(model, iteration):
            with EventStorage(iteration):
                return model.preprocess_image(two_items()).tensor[2:]

        model = tiny_model(*jitters)
        views = [second_views(model, 0) for _ in range(3)]
        assert len({image.sum().item() for batch in views for image in batch}) == 6
        # The next iteration is that of a training without them.
        assert torch.equal(second_views(model, 1), second_views(tiny_model(*jitters), 1))


class TestMake:
    def test_jitter_is_torchvisions_on_rgb(self):
        rgb = random_image()
        expected = rgb / 255
        for name, factor in ALL_FOUR:
            expected = getattr(TF, f"adjust_{name}")(expected, factor)
        draw = ViewDraw(ALL_FOUR, flip=False)
        view = SecondView(input_format="RGB").make(rgb, draw)
        torch.testing.assert_close(view, expected * 255, rtol=0, atol=1e-3)
        bgr_view = SecondView(input_format="BGR").make(rgb.flip(0), draw)
        torch.testing.assert_close(bgr_view, expected.flip(0) * 255, rtol=0, atol=1e-3)
        assert (expected - expected.flip(0)).abs().max() > 0.2  # the channels do differ

    def test_operations_are_applied_in_their_order(self):
        view = SecondView(input_format="RGB")
        image = random_image()
        forth = view.make(image, ViewDraw((("brightness", 1.8), ("contrast", 0.3)), flip=False))
        back = view.make(image, ViewDraw((("contrast", 0.3), ("brightness", 1.8)), flip=False))
        assert (forth - back).abs().max() > 5

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
    @pytest.mark.parametrize("input_format", ["RGB", "BGR"])
    def test_values_stay_in_range(self, dtype, input_format):
        view = SecondView(
            jitter_prob=1,
            brightness=2,
            contrast=3,
            saturation=3,
            hue=0.5,
            input_format=input_format,
        )
        image = random_image(dtype)
        before = image.clone()
        for draw in draws(view, 50):
            made = view.make(image, draw)
            assert made.is_floating_point()
            assert made.shape == image.shape
            assert made.min() >= 0
            assert made.max() <= 255
        assert torch.equal(image, before)

    def test_type_of_the_image_does_not_matter(self):
        draw = ViewDraw(ALL_FOUR, flip=True)
        made = SecondView().make(random_image(), draw)
        assert torch.equal(made, SecondView().make(random_image(torch.float32), draw))

    def test_mixed_precision_does_not_matter(self):
        draw = ViewDraw(ALL_FOUR, flip=False)
        made = SecondView().make(random_image(), draw)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(SecondView().make(random_image(), draw), made)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
    def test_nothing_drawn(self, dtype):
        image = random_image(dtype)
        made = SecondView().make(image, PLAIN)
        assert made.dtype == torch.float32
        assert torch.equal(made, image.float())

    def test_factors_that_change_nothing(self):
        same = (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.0))
        made = SecondView().make(random_image(), ViewDraw(same, flip=False))
        torch.testing.assert_close(made, random_image().float(), rtol=0, atol=1e-3)

    def test_flip_by_hand(self):
        image = torch.arange(12).view(3, 2, 2)
        made = SecondView().make(image, ViewDraw((), flip=True))
        expected = [[[1, 0], [3, 2]], [[5, 4], [7, 6]], [[9, 8], [11, 10]]]
        assert made.tolist() == expected

    def test_flip_comes_on_top_of_the_jitter(self):
        jittered = SecondView().make(random_image(), ViewDraw(ALL_FOUR, flip=False))
        both = SecondView().make(random_image(), ViewDraw(ALL_FOUR, flip=True))
        assert torch.equal(both, jittered.flip(2))


WRONG = [
    ("JITTER_PROB", -0.1),
    ("JITTER_PROB", 1.1),
    ("FLIP_PROB", -0.1),
    ("FLIP_PROB", 1.5),
    ("BRIGHTNESS", -0.1),
    ("CONTRAST", -1.0),
    ("SATURATION", -0.5),
    ("HUE", -0.1),
    ("HUE", 0.6),
    ("HUE", float("nan")),
]


class TestSettings:
    @pytest.mark.parametrize(("key", "value"), WRONG)
    def test_wrong_value(self, key, value):
        with pytest.raises(InputError, match=rf"MODEL\.COMINING\.VIEW\.{key} is {value}"):
            SecondView(**{key.lower(): value})

    @pytest.mark.parametrize(("key", "value"), WRONG)
    def test_wrong_value_in_the_config(self, key, value):
        cfg = tiny_config(f"MODEL.COMINING.VIEW.{key}", value)
        with pytest.raises(InputError, match=rf"MODEL\.COMINING\.VIEW\.{key} is {value}"):
            build_model(cfg)

    @pytest.mark.parametrize("build", [SecondView, build_model])
    def test_wrong_format(self, build):
        with pytest.raises(InputError, match=r"INPUT\.FORMAT is 'YUV-BT.601'"):
            build(tiny_config("INPUT.FORMAT", "YUV-BT.601"))

    @pytest.mark.parametrize("key", ["BRIGHTNESS", "CONTRAST", "SATURATION"])
    def test_edges_are_legal(self, key):
        for value in (0.0, 3.0):
            view = SecondView(tiny_config(f"MODEL.COMINING.VIEW.{key}", value))
            assert view.ranges[key.lower()] == (max(0.0, 1 - value), 1 + value)

    def test_config_reaches_the_view(self):
        view = "MODEL.COMINING.VIEW."
        cfg = tiny_config(
            view + "JITTER_PROB", 0.25,
            view + "BRIGHTNESS", 0.5,
            view + "CONTRAST", 0.125,
            view + "SATURATION", 2.0,
            view + "HUE", 0.375,
            view + "FLIP_PROB", 0.75,
            "INPUT.FORMAT", "RGB",
        )  # fmt: skip
        view = build_model(cfg).view
        assert (view.jitter_prob, view.flip_prob, view.is_bgr) == (0.25, 0.75, False)
        assert view.ranges == {
            "brightness": (0.5, 1.5),
            "contrast": (0.875, 1.125),
            "saturation": (0.0, 3.0),
            "hue": (-0.375, 0.375),
        }

    def test_defaults_are_the_papers(self):
        view = SecondView(load_config(""))
        assert (view.jitter_prob, view.flip_prob, view.is_bgr) == (0.8, 0.0, True)
        torch.testing.assert_close(view.ranges["brightness"], (0.2, 1.8))
        assert view.ranges["brightness"] == view.ranges["contrast"] == view.ranges["saturation"]
        assert view.ranges["hue"] == (-0.2, 0.2)
