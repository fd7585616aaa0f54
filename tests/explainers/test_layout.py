"""Which layer class activation maps look at and how it lies. Oracles: the maps by hand, torch's own names of axes, and
a reason where the network does not say."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer, convnext_tiny, swin_t

from benchmark.errors import NotApplicableError, SpecError
from benchmark.explainers.base import explainers
from benchmark.explainers.cam.maps import spatial_layer
from benchmark.models.entries import read_entry
from benchmark.models.wrap import Model
from tests.explainers.networks import explain

CAMS = ["gradcam", "gradcam-plus-plus", "layercam", "hirescam"]
K = 5


class Net(nn.Module):
    """A stem of 4x4 patches and ``tail`` written in ``forward``; three classes."""

    def __init__(self, tail, **parts):
        super().__init__()
        self.stem, self.head, self.tail = nn.Conv2d(1, K, 4, 4), nn.Linear(K, 3), tail
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.tail(self, self.stem(x))


def last(x):
    return x.permute(0, 2, 3, 1)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def with_class(net, x):
    x = net.norm(tokens(x))
    return net.also(torch.cat([x.mean(1, keepdim=True) * 2, x], 1))


def net(tail, **parts):
    torch.manual_seed(1)
    return Net(tail, **parts).eval()


def norm():
    return nn.LayerNorm(K)


class Gate(nn.Module):
    """A convolution's output reshaped by a module whose operations say nothing of axes."""

    def forward(self, x):
        return x.reshape(len(x), -1).view(x.shape).reshape(len(x), *x.shape[1:]).view(len(x), K, -1, x.shape[3])


# name: (network, layer that is found, its layout, its output from the stem's, by hand)
FOUND = {
    "channels first, mean": (lambda: net(lambda s, x: s.head(F.relu(x).mean((2, 3)))), "stem", "channels-first", None),
    "channels last, mean": (
        lambda: net(lambda s, x: s.head(s.norm(last(x)).mean((1, 2))), norm=norm()),
        "norm", "channels-last", lambda s, x: s.norm(last(x)).permute(0, 3, 1, 2),
    ),
    "channels last, maximum": (
        lambda: net(lambda s, x: s.head(s.norm(last(x)).amax((1, 2))), norm=norm()),
        "norm", "channels-last", lambda s, x: s.norm(last(x)).permute(0, 3, 1, 2),
    ),
    "channels last, flattened": (
        lambda: net(lambda s, x: s.wide(s.norm(last(x)).flatten(1)), norm=norm(), wide=nn.Linear(16 * K, 3)),
        "norm", "channels-last", lambda s, x: s.norm(last(x)).permute(0, 3, 1, 2),
    ),
    "tokens, mean": (
        lambda: net(lambda s, x: s.head(s.norm(tokens(x)).mean(1)), norm=norm()),
        "norm", "tokens", lambda s, x: s.norm(tokens(x)).transpose(1, 2).unflatten(2, (4, 4)),
    ),
    "class token beside, mean of the others": (
        lambda: net(lambda s, x: s.head(with_class(s, x)[:, 1:].mean(1)), norm=norm(), also=nn.GELU()),
        "also", "class-token", lambda s, x: F.gelu(s.norm(tokens(x))).transpose(1, 2).unflatten(2, (4, 4)),
    ),
    "pooling says it where the operations do not": (
        lambda: net(lambda s, x: s.head(s.gate(x).mean((2, 3))), gate=Gate()), "gate", "channels-first", lambda s, x: x,
    ),
    "1x1 behind it": (
        lambda: net(lambda s, x: s.head(s.norm(last(F.adaptive_avg_pool2d(x, 1))).flatten(1)), norm=norm()),
        "stem", "channels-first", lambda s, x: x,
    ),
    "enlarged 1x1 behind it": (
        lambda: net(lambda s, x: s.head(s.up(F.adaptive_avg_pool2d(x, 1)).mean((2, 3))), up=nn.AdaptiveAvgPool2d(3)),
        "stem", "channels-first", lambda s, x: x,
    ),
}  # fmt: skip


def batch():
    generator = torch.Generator().manual_seed(2)
    return torch.rand(3, 1, 16, 16, generator=generator), torch.tensor([0, 2, 1])


def by_hand(name, maps, gradients):
    each = {
        "gradcam": gradients.mean((2, 3), keepdim=True) * maps,
        "hirescam": gradients * maps,
        "layercam": gradients.relu() * maps,
    }
    if name in each:
        return each[name].sum(1, keepdim=True)
    squared = gradients**2
    alpha = squared / (2 * squared + gradients**3 * maps.sum((2, 3), keepdim=True))
    return ((torch.where(squared > 0, alpha, 0) * gradients.relu()).sum((2, 3), keepdim=True) * maps).sum(
        1, keepdim=True
    )


@pytest.mark.parametrize("use", CAMS)
@pytest.mark.parametrize("name", FOUND)
def test_the_map_is_the_one_by_hand_whatever_the_layout(name, use):
    make, layer, layout, hand = FOUND[name]
    network, (inputs, targets) = make(), batch()
    model = Model(network, input_shape=(1, 16, 16))
    found = spatial_layer(model, inputs, use)
    assert (found.name, found.layout, found.grid) == (layer, layout, (4, 4))
    if hand is None:
        return
    kept = []
    handle = found.module.register_forward_hook(lambda _module, _given, output: kept.append(output))
    chosen = network(inputs.clone().requires_grad_()).gather(1, targets[:, None]).sum()
    handle.remove()
    (raw,) = torch.autograd.grad(chosen, kept[0])
    gradients = {
        "channels-first": lambda: raw,
        "channels-last": lambda: raw.permute(0, 3, 1, 2),
        "tokens": lambda: raw.transpose(1, 2).unflatten(2, (4, 4)),
        "class-token": lambda: raw[:, 1:].transpose(1, 2).unflatten(2, (4, 4)),
    }[layout]()
    wanted = by_hand(use, hand(network, network.stem(inputs)).detach(), gradients)
    wanted = F.interpolate(wanted, size=(16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(explain(use, model, inputs, targets, relu=False), wanted, atol=1e-6, rtol=1e-4)


class Attending(nn.Module):
    """Convolution, attention over its places, then ``tail``."""

    def __init__(self, tail):
        super().__init__()
        self.stem, self.attention = nn.Conv2d(1, K, 4, 4), nn.MultiheadAttention(K, 1, batch_first=True)
        self.norm, self.head, self.tail = nn.LayerNorm(K), nn.Linear(K, 3), tail

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.tail(self, x, self.attention(x, x, x, need_weights=False)[0]))


def own_attention(s, x, _):
    return F.relu((x @ x.transpose(1, 2)).softmax(2) @ x).mean(1)


REFUSED = {
    "only before attention": (lambda: Attending(lambda s, x, y: y.mean(1)), "attention"),
    "only before attention of its own": (lambda: Attending(own_attention), "attention"),
    "axes that nothing says": (
        lambda: net(lambda s, x: s.wide(s.gate(x).flatten(1)), gate=Gate(), wide=nn.Linear(16 * K, 3)),
        "layer 'gate'.*gradcam_layout.*channels-first",
    ),
    "class token alone": (
        lambda: net(lambda s, x: s.head(with_class(s, x)[:, 0]), norm=norm(), also=nn.GELU()),
        "layer 'also'.*class token alone",
    ),
    "scripted": (
        lambda: torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(392, 3))), "scripted",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("name", REFUSED)
def test_what_the_network_does_not_say_is_asked(name):
    make, reason = REFUSED[name]
    model, (inputs, targets) = Model(make().eval(), input_shape=(1, 16, 16)), batch()
    for use in CAMS:
        with pytest.raises(NotApplicableError, match=f"{use}: .*{reason}"):
            explain(use, model, inputs, targets)
        assert explainers.make(use).skip(model, None, None)


@pytest.mark.parametrize("layout", ["channels-first", "channels-last"])
def test_the_entry_says_it(layout):
    network, (inputs, targets) = REFUSED["axes that nothing says"][0](), batch()
    model = Model(network, input_shape=(1, 16, 16), gradcam_layout=layout)
    found = spatial_layer(model, inputs, "gradcam")
    assert (found.layout, found.grid) == (layout, (4, 4) if layout == "channels-first" else (K, 4))
    assert explainers.make("gradcam").skip(model, None, None) is None
    with pytest.raises(NotApplicableError, match="gradcam_layout"):
        explain("gradcam", Model(network, input_shape=(1, 16, 16), gradcam_layout="tokens"), inputs, targets)


def test_a_named_layer_of_one_place_is_refused():
    network = net(lambda s, x: s.head(s.pool(x).flatten(1)), pool=nn.AdaptiveAvgPool2d(1))
    model = Model(network, input_shape=(1, 16, 16), gradcam_layer="pool")
    with pytest.raises(NotApplicableError, match="layer 'pool' gives a map of 1x1"):
        explain("gradcam", model, *batch())


def test_swin_and_convnext_and_a_transformer():
    torch.manual_seed(0)
    inputs = torch.rand(1, 3, 64, 64)
    for network, layer in ((swin_t(num_classes=3), "permute"), (convnext_tiny(num_classes=3), "features")):
        found = spatial_layer(Model(network, input_shape=(3, 64, 64)), inputs, "gradcam")
        assert (found.name, found.layout, found.grid) == (layer, "channels-first", (2, 2))
    small = swin_t(num_classes=3)  # 1x1 behind the last attention
    with pytest.raises(NotApplicableError, match="attention"):
        spatial_layer(Model(small, input_shape=(3, 32, 32)), inputs[..., :32, :32], "gradcam")
    transformer = VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=3)
    with pytest.raises(NotApplicableError, match="class token alone"):
        spatial_layer(Model(transformer, input_shape=(3, 32, 32)), inputs[..., :32, :32], "gradcam")
    name = "encoder.layers.encoder_layer_0"
    model = Model(transformer, input_shape=(3, 32, 32), gradcam_layer=name, gradcam_layout="class-token")
    found = spatial_layer(model, inputs[..., :32, :32], "gradcam")
    assert (found.name, found.grid) == (name, (4, 4))
    assert found.maps(torch.arange(34.0).view(1, 17, 2))[0, 0].tolist()[0] == [2.0, 4.0, 6.0, 8.0]


def test_the_layout_is_part_of_the_entrys_digest_only_where_it_is_given(tmp_path):
    def entry(extra):
        (tmp_path / "entry.toml").write_text(
            f'name = "{tmp_path.name}"\ninput_shape = [1, 8, 8]\nclasses = 3\n'
            f'factory = "benchmark.models.small:cnn"\n{extra}'
        )
        return read_entry(tmp_path)

    assert "gradcam_layout" not in entry("").spec.model_dump()
    assert entry('gradcam_layout = "tokens"\n').digest() != entry("").digest()
    with pytest.raises(SpecError, match="gradcam_layout"):
        entry('gradcam_layout = "nhwc"\n')
