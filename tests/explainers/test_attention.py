"""Attention as a map. Oracles: closed forms on two layers of known attention, torch's own attention, one network with
its attention written in every way, and a reason where it cannot be read."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer, resnet18, swin_t

from benchmark.errors import RefusedError
from benchmark.explainers.attention.probabilities import Probabilities
from benchmark.explainers.attention.rollout import rollout
from benchmark.explainers.attention.tokens import checked
from benchmark.explainers.base import explainers
from benchmark.models.wrap import Model
from tests.explainers.networks import explain

USES = ("attention", "attention-rollout", "gradient-rollout")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


T, K = 4, 3  # tokens (2x2 patches) and channels


def stochastic(count, seed):
    return torch.rand(count, count, generator=torch.Generator().manual_seed(seed)).softmax(-1)


class Known(nn.Module):
    """Two layers x + A x whose A is a given matrix, on 2x2 patches; the head reads the mean, or token 0."""

    def __init__(self, class_token):
        super().__init__()
        torch.manual_seed(0)
        count = T + class_token
        self.stem, self.head, self.class_token = nn.Conv2d(1, K, 2, 2), nn.Linear(K, 2), class_token
        self.layers = nn.ModuleList(Fixed(stochastic(count, seed)) for seed in (1, 2))

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        if self.class_token:
            x = torch.cat([x.mean(1, keepdim=True), x], 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x[:, 0] if self.class_token else x.mean(1))


class Fixed(nn.Module):
    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def forward(self, x):
        nothing = 0 * x[:, None]
        return x + F.scaled_dot_product_attention(nothing, nothing, x[:, None], attn_mask=self.matrix.log())[:, 0]


@pytest.mark.parametrize("class_token", [False, True])
def test_two_layers_of_known_attention(class_token):
    network = Known(class_token).eval().requires_grad_(False)
    model, inputs, targets = Model(network, input_shape=(1, 4, 4)), torch.rand(2, 1, 4, 4), torch.tensor([0, 1])
    first, second = (layer.matrix for layer in network.layers)
    eye = torch.eye(T + class_token)
    with torch.no_grad():
        x = network.stem(inputs).flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) if class_token else x
        middle = x + first @ x
        read = eye[:1] if class_token else torch.full((1, T), 1 / T)
        ahead = (read @ (eye + second)).T  # (T, 1): what of the middle reaches the head
        row = network.head.weight[targets][:, None]  # (N, 1, K)
        wanted = {
            "attention": read @ second,
            "attention-rollout": read @ ((eye + second) / 2) @ ((eye + first) / 2),
        }
        # dlogit / dA_ij is (what reaches the head of i) times (w . value of j)
        one = ((ahead * (row @ x.mT)) * first).clamp_min(0)
        two = ((read.T * (row @ middle.mT)) * second).clamp_min(0)
        wanted["gradient-rollout"] = read @ (one + two + two @ one)
    for use in USES:
        got = explain(use, model, inputs, targets)
        patches = wanted[use].expand(2, -1, -1).mean(1)[:, class_token:].reshape(2, 1, 2, 2)
        expected = F.interpolate(patches, size=(4, 4), mode="bilinear", align_corners=False)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7)


class Block(nn.Module):
    """Two heads on K2 channels; ``way`` is how the attention is written."""

    def __init__(self, way, width=8):
        super().__init__()
        torch.manual_seed(3)
        self.way, self.attention = way, nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x):
        if self.way in ("module", "module with weights"):
            return x + self.attention(x, x, x, need_weights=self.way == "module with weights")[0]
        projected = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in projected.chunk(3, -1))
        if self.way == "function":
            out = F.scaled_dot_product_attention(q, k, v)
        elif self.way == "matmul":
            out = torch.matmul(F.dropout((q @ k.transpose(-2, -1) / 2).softmax(-1), 0.1, self.training), v)
        else:
            q, k, v = (part.flatten(0, 1) for part in (q, k, v))
            out = torch.bmm(torch.softmax(torch.bmm(q, k.mT) / 2, dim=-1), v).unflatten(0, (-1, 2))
        return x + self.attention.out_proj(out.transpose(1, 2).flatten(2))


def written(way):
    torch.manual_seed(4)
    stem = nn.Sequential(nn.Conv2d(1, 8, 2, 2), nn.Flatten(2), Transposed())
    network = nn.Sequential(stem, Block(way), Block(way), Mean(), nn.Linear(8, 3))
    return Model(network.eval().requires_grad_(False), input_shape=(1, 8, 8))


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


@pytest.mark.parametrize("use", USES)
def test_however_attention_is_written_the_map_is_the_same(use):
    inputs, targets = torch.rand(2, 1, 8, 8), torch.tensor([0, 2])
    maps = [
        explain(use, written(way), inputs, targets)
        for way in ("function", "module", "module with weights", "matmul", "bmm")
    ]
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], rtol=1e-4, atol=1e-6)
    assert maps[0].std() > 0


@pytest.mark.parametrize("masked", ["", "bool", "float", "causal", "scale", "groups", "nothing left"])
def test_it_is_torchs_attention(masked):
    """Oracle: torch's kernel, in float64."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=generator) for _ in range(3))
    more = {
        "bool": {"attn_mask": torch.rand(5, 5, generator=generator) < 0.7},
        "float": {"attn_mask": torch.randn(5, 5, dtype=torch.float64, generator=generator)},
        "causal": {"is_causal": True},
        "scale": {"scale": 0.3},
        "groups": {"enable_gqa": True},
        "nothing left": {"attn_mask": torch.arange(5)[:, None].expand(5, 5) > 0},
    }.get(masked, {})
    if masked == "groups":
        k, v = k[:, :2], v[:, :2]
    if masked == "bool":
        more["attn_mask"].fill_diagonal_(fill_value=True)
    plain = F.scaled_dot_product_attention(q, k, v, **more)
    with Probabilities() as seen:
        under = F.scaled_dot_product_attention(q, k, v, **more)
    torch.testing.assert_close(under, plain, rtol=1e-12, atol=1e-12)
    rows = torch.ones(2, 4, 5, dtype=torch.float64)
    rows[..., 0] = masked != "nothing left"  # a row that sees nothing
    torch.testing.assert_close(seen.kept[0].sum(-1), rows)


def torchvisions():
    network = VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=5)
    nn.init.normal_(network.heads.head.weight, 0, 0.2)
    return network


def timms(name="vit_tiny_patch16_224", **more):
    timm = pytest.importorskip("timm")
    return timm.create_model(name, img_size=32, patch_size=8, num_classes=5, depth=2, embed_dim=48, num_heads=3, **more)


def unfused():
    network = timms()
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    return network


class Logits(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).logits


def faces(kind, **more):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
        num_labels=5, **more,
    )  # fmt: skip
    return Logits(getattr(transformers, f"{kind}ForImageClassification")(config))


TRANSFORMERS = {
    "torchvision ViT": torchvisions,
    "timm ViT": timms,
    "timm ViT, not fused": unfused,
    "timm ViT, mean of patches": lambda: timms(global_pool="avg"),
    "timm ViT, registers": lambda: timms(reg_tokens=4),
    "timm DeiT": lambda: timms("deit_tiny_patch16_224"),
    "Hugging Face ViT": lambda: faces("ViT"),
    "Hugging Face ViT, eager": lambda: faces("ViT", attn_implementation="eager"),
    "Hugging Face DeiT": lambda: faces("DeiT"),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_other_peoples_transformers(name):
    """Outputs as without the mode, rows that sum to 1, a map that is not flat, and the network as it was."""
    torch.manual_seed(0)
    network = TRANSFORMERS[name]().eval().requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    functions = F.scaled_dot_product_attention, F.softmax
    model, inputs = Model(network, input_shape=(3, 32, 32)), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        plain = model(inputs)
        with Probabilities() as seen:
            under = model(inputs)
    assert float((under - plain).abs().max()) <= 5e-7 * max(1.0, float(plain.abs().max()))
    assert len(seen.kept) == 2
    ones = torch.ones(2, seen.kept[0].shape[-1])
    torch.testing.assert_close(rollout([layer.reshape(2, -1, *layer.shape[-2:]) for layer in seen.kept]).sum(-1), ones)
    maps = [explain(use, model, inputs, plain.argmax(1)) for use in USES]
    for each in maps:
        assert each.shape == inputs.shape
        assert each.isfinite().all()
        assert (each.flatten(1).std(1) > 0).all()
    assert (F.scaled_dot_product_attention, F.softmax) == functions
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("build", "size", "reason"),
    [
        (lambda: resnet18(num_classes=5), 32, "runs no attention that can be seen"),
        (lambda: swin_t(num_classes=5), 64, "sees windows of 49 tokens"),
        (lambda: timms("deit_tiny_distilled_patch16_224"), 32, "of its 18 tokens the head reads 2"),
        (
            lambda: torch.jit.trace(torchvisions().eval(), torch.rand(1, 3, 32, 32), check_trace=False),
            32,
            "scripted or traced",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_what_is_refused(build, size, reason):
    model = Model(build().eval().requires_grad_(False), input_shape=(3, size, size))
    for use in USES:
        explainer = explainers.make(use, {})
        assert reason in explainer.skip(model, None, None)
        with pytest.raises(RefusedError, match=reason):
            explain(use, model, torch.rand(1, 3, size, size), torch.tensor([0]))


@pytest.mark.parametrize("use", [*USES, "attn-lrp"])
def test_a_network_in_float64_is_explained_alike(use):
    """Its check of itself is in its own precision, too."""
    model = Model(torchvisions().eval(), input_shape=(3, 32, 32))
    inputs, targets = torch.rand(1, 3, 32, 32), torch.tensor([1])
    single = explain(use, model, inputs, targets)
    double = explain(use, copy.deepcopy(model).double(), inputs.double(), targets)
    torch.testing.assert_close(double, single.double(), rtol=1e-3, atol=1e-6)


def test_rollout_knows_no_class_and_the_gradients_does():
    """A control: the first two are the same for every target."""
    model, inputs = (
        Model(torchvisions().eval().requires_grad_(False), input_shape=(3, 32, 32)),
        torch.rand(1, 3, 32, 32),
    )
    for use in USES:
        one, other = (explain(use, model, inputs, torch.tensor([k])) for k in (0, 1))
        assert torch.equal(one, other) == (use != "gradient-rollout")
    tokens = checked(model, (3, 32, 32))
    assert (tokens.layers, tokens.count, tokens.grid, tokens.class_token) == (2, 17, (4, 4), True)
