"""Whose colours a picture has: the formulas by hand, and what holds for the pictures of jobs."""

from typing import Any

import numpy as np
import pytest
import torch
from engine_support import DATA, make_job, picture, pixels, run
from torch import Tensor

from nst.engine import images, recolour
from nst.engine.images import from_png, to_png
from nst.engine.inputs import Inputs, inputs
from nst.engine.metrics import as_tensor
from nst.engine.optimize import State
from nst.engine.run import decode, recoloured

CONTENT, STYLE = picture("content", "egeskov", 64), picture("style", "great_wave", 64)


def colour_differences(array: np.ndarray) -> np.ndarray:
    """(H, W, 3) without its luminance."""
    values = array.astype(float)
    return values - (values @ [0.299, 0.587, 0.114])[..., None]


def mean_and_covariance(tensor: Tensor) -> tuple[np.ndarray, np.ndarray]:
    flat = tensor[0].flatten(1).double().numpy()
    return flat.mean(1), np.cov(flat, bias=True)


class TestLuminance:
    """Y of YIQ."""

    def test_by_hand_and_by_pillow(self) -> None:
        pixel = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 3, 1, 1)
        assert recolour.luminance(pixel).item() == pytest.approx(0.299 * 0.1 + 0.587 * 0.5 + 0.114 * 0.9)
        by_pillow = np.asarray(decode(CONTENT).convert("L")).astype(float)
        assert np.abs(recolour.luminance(CONTENT)[0, 0].numpy() * 255 - by_pillow).max() < 0.51

    def test_of_grey_is_itself(self) -> None:
        grey = recolour.grey(CONTENT)
        torch.testing.assert_close(recolour.grey(grey), grey)
        assert torch.equal(grey[:, 0], grey[:, 2])


class TestWithColoursOf:
    """Luminance of one, colours of the other."""

    def test_by_hand(self) -> None:
        content = torch.tensor([0.5, 0.3, 0.4]).reshape(1, 3, 1, 1)
        light = 0.299 * 0.5 + 0.587 * 0.3 + 0.114 * 0.4
        made = recolour.with_colours_of(content, torch.full((1, 3, 1, 1), 0.6))
        assert made.flatten().tolist() == pytest.approx([0.6 + each - light for each in (0.5, 0.3, 0.4)])

    def test_keeps_the_luminance_and_the_hue_and_stays_in_gamut(self) -> None:
        other = recolour.grey(picture("content", "egeskov", 64).flip(3))
        made = recolour.with_colours_of(CONTENT, other)
        torch.testing.assert_close(recolour.luminance(made), recolour.luminance(other), atol=1e-6, rtol=0)
        assert made.min() > -1e-6
        assert made.max() < 1 + 1e-6
        before, after = (each - recolour.luminance(each) for each in (CONTENT, made))
        inner = (before * after).sum(1) / (before.norm(dim=1) * after.norm(dim=1)).clamp_min(1e-9)
        assert inner[(before.norm(dim=1) > 0.02) & (after.norm(dim=1) > 0.02)].min() > 0.999

    def test_of_itself_is_itself(self) -> None:
        torch.testing.assert_close(recolour.with_colours_of(CONTENT, CONTENT), CONTENT)

    def test_of_black_and_white_is_black_and_white(self) -> None:
        black_and_white = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2)
        made = recolour.with_colours_of(torch.rand(1, 3, 1, 2), black_and_white)
        torch.testing.assert_close(made, black_and_white)


class TestMatching:
    """The style's colours or luminance moved to the content's."""

    def test_colours_have_the_contents_mean_and_covariance(self) -> None:
        made = recolour.match_colours(STYLE, CONTENT)
        for found, expected in zip(mean_and_covariance(made), mean_and_covariance(CONTENT), strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-4)

    def test_colours_of_itself_are_its_own(self) -> None:
        torch.testing.assert_close(recolour.match_colours(STYLE, STYLE), STYLE, atol=1e-5, rtol=0)

    def test_is_the_symmetric_solution(self) -> None:
        """Two pictures whose channels vary alone: each channel is scaled by itself."""
        generator = torch.Generator().manual_seed(0)
        signs = torch.tensor([[1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1], [1, 1, -1], [1, -1, -1], [-1, 1, -1]])
        cube = torch.cat([signs, -signs.sum(0, keepdim=True)]).float().T.reshape(1, 3, 2, 4)
        style = 0.5 + 0.1 * cube
        content = 0.4 + cube * torch.tensor([0.1, 0.2, 0.3])[:, None, None]
        content = content[..., torch.randperm(4, generator=generator)]
        expected = 0.4 + cube * torch.tensor([0.1, 0.2, 0.3])[:, None, None]
        torch.testing.assert_close(recolour.match_colours(style, content), expected, atol=1e-2, rtol=0)

    def test_luminance_has_the_contents_mean_and_deviation(self) -> None:
        made = recolour.match_luminance(STYLE, CONTENT)
        light = recolour.luminance(CONTENT)
        assert made[:, 0].mean().item() == pytest.approx(light.mean().item(), abs=1e-5)
        assert made[:, 0].std().item() == pytest.approx(light.std().item(), rel=1e-4)
        assert torch.equal(made[:, 0], made[:, 2])

    @pytest.mark.parametrize("match", [recolour.match_colours, recolour.match_luminance])
    def test_a_style_without_colours_or_contrast(self, match: Any) -> None:
        for style in (recolour.grey(STYLE), torch.full_like(STYLE, 0.3), torch.zeros_like(STYLE)):
            for content in (CONTENT, recolour.grey(CONTENT), torch.ones_like(CONTENT)):
                assert match(style, content).isfinite().all()
                assert match(style, content).std() < 0.5


class TestJobs:
    """What each choice makes of a picture."""

    @pytest.mark.parametrize("colour", ["content", "luminance"])
    def test_colours_are_the_contents(self, colour: str) -> None:
        job = make_job(colour=colour)
        given = inputs(job, DATA)
        assert given.content is not None
        made, content = (colour_differences(pixels(png)) for png in (run(job, given).png, given.content))
        strong = np.linalg.norm(content, axis=-1) > 8
        lengths = np.linalg.norm(made, axis=-1), np.linalg.norm(content, axis=-1)
        assert (lengths[0] < lengths[1] + 2).all()  # as far as they fit, no stronger
        assert np.median((lengths[0] / lengths[1].clip(1))[strong]) > 0.95
        coloured = make_job()
        assert (
            np.abs(colour_differences(pixels(run(coloured, given).png)) - content).mean()
            > 3 * np.abs(made - content).mean()
        )

    def test_content_has_the_luminance_of_the_picture_with_the_styles_colours(self) -> None:
        with_own, with_contents = (pixels(run(make_job(colour=colour)).png) for colour in ("style", "content"))
        luminance = [array @ [0.299, 0.587, 0.114] for array in (with_own, with_contents)]
        assert np.abs(luminance[0] - luminance[1]).max() < 1.1
        assert run(make_job(colour="content")).losses == run(make_job()).losses

    @pytest.mark.parametrize("init", ["content", "adain", "noise"])
    def test_luminance_does_not_see_colours(self, init: str) -> None:
        """From grey originals the losses are the same."""
        job = make_job(colour="luminance", init=init)
        given = inputs(job, DATA)
        grey = given.changed(lambda png: to_png(from_png(png).convert("L").convert("RGB")))
        assert run(job, grey).losses == pytest.approx(run(job, given).losses, rel=0.05)
        final = run(job, given)
        assert final.losses[-1] < final.losses[0]
        assert final.quality.final_loss < final.losses[0]

    def test_matched_is_as_if_the_style_had_been_recoloured_before(self) -> None:
        job = make_job(colour="matched", init="adain")
        given = inputs(job, DATA)
        assert given.content is not None
        content, style = (as_tensor(from_png(png)) for png in (given.content, given.styles[0][0]))
        before = Inputs(given.content, ((to_png(decode(recolour.match_colours(style, content))), 1.0),))
        assert run(job, given).png == run(make_job(init="adain"), before).png
        assert recoloured(job, given) == before

    @pytest.mark.parametrize("colour", ["content", "luminance", "matched"])
    def test_metrics_compare_with_the_originals_as_they_are(self, colour: str) -> None:
        from nst.engine import metrics

        job = make_job(colour=colour)
        given = inputs(job, DATA)
        result = run(job, given)
        found = metrics.distances(as_tensor(from_png(result.png)), given.content, given.styles, job.weights)
        assert result.quality.content_distance == pytest.approx(found.content)
        assert result.quality.style_distance == pytest.approx(found.style)

    @pytest.mark.parametrize("colour", ["content", "luminance"])
    def test_films_and_callbacks_show_the_same_colours(self, colour: str) -> None:
        seen: list[bytes] = []

        def watch(state: State) -> None:
            seen.append(images.to_png(decode(state.picture())))

        result = run(make_job(colour=colour, frames=3), on_iteration=watch)
        assert seen[-1] == result.png
        assert set(result.frames[1:]) < set(seen)

    @pytest.mark.parametrize("task", ["reconstruct", "synthesize"])
    def test_of_one_picture_it_is_of_no_effect(self, task: str) -> None:
        pictures = {run(make_job(task, colour=colour)).png for colour in ("style", "content", "luminance", "matched")}
        assert len(pictures) == 1
