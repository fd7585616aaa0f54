"""ONNX files as networks. Oracle: onnx's ReferenceEvaluator, operator by operator, and published accuracies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.attacks.base import attacks
from benchmark.data.base import Grid, datasets
from benchmark.errors import EntryError
from benchmark.explainers.base import explainers
from benchmark.models.build import build_model
from benchmark.models.check import check_entry
from benchmark.models.entries import load_entry
from benchmark.models.graphs.network import GraphNetwork
from benchmark.models.graphs.node import OPERATORS
from benchmark.models.graphs.reading import read_graph
from benchmark.schedule.parts import without_gradient

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

RNG = np.random.default_rng(0)
IMAGE = (2, 4, 6, 6)


def normal(*shape):
    return RNG.normal(size=shape).astype("f")


def whole(*values):
    return np.array(values, dtype=np.int64)


def saved(path, nodes, constants=None, shape=IMAGE, opset=17, outputs=("y",), batch=None):
    """An ONNX file of these nodes, whose input is called x."""
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch or "n", *shape[1:]])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in outputs]
    graph = helper.make_graph(nodes, "g", [given], made, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    file = path / "net.onnx"
    file.write_bytes(model.SerializeToString())
    return file


def op(kind, *inputs, outputs=("y",), **attributes):
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


W = normal(8, 4, 3, 3)
B = normal(8)
C = normal(4)
CASES = {
    "Conv": ([op("Conv", "x", "w", "b", pads=[1, 1, 1, 1], strides=[2, 2])], {"w": W, "b": B}),
    "Conv-group": ([op("Conv", "x", "w", group=2, dilations=[2, 2])], {"w": normal(8, 2, 2, 2)}),
    "Conv-uneven": ([op("Conv", "x", "w", pads=[0, 1, 1, 2])], {"w": W}),
    "Conv-same": ([op("Conv", "x", "w", auto_pad="SAME_UPPER", strides=[2, 2])], {"w": W}),
    "Conv-same-lower": ([op("Conv", "x", "w", auto_pad="SAME_LOWER", strides=[2, 2])], {"w": W}),
    "ConvTranspose": ([op("ConvTranspose", "x", "w", strides=[2, 2], pads=[1, 1, 1, 1])], {"w": normal(4, 3, 3, 3)}),
    "BatchNormalization": (
        [op("BatchNormalization", "x", "s", "b", "m", "v", epsilon=1e-3)],
        {"s": C, "b": normal(4), "m": normal(4), "v": abs(normal(4))},
    ),
    "InstanceNormalization": ([op("InstanceNormalization", "x", "s", "b")], {"s": C, "b": normal(4)}),
    "LayerNormalization": ([op("LayerNormalization", "x", "s", "b")], {"s": normal(6), "b": normal(6)}),
    "LayerNormalization-2": ([op("LayerNormalization", "x", "s", axis=2)], {"s": normal(6, 6)}),
    "LRN": ([op("LRN", "x", size=3, alpha=0.1)], {}, {"shape": (4, 4, 6, 6)}),  # the reference takes N for C
    "MaxPool": ([op("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], {}),
    "MaxPool-uneven": ([op("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])], {}),
    "AveragePool": ([op("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], {}),
    "AveragePool-padded": (
        [op("AveragePool", "x", kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)],
        {},
    ),
    "GlobalAveragePool": ([op("GlobalAveragePool", "x")], {}),
    "GlobalMaxPool": ([op("GlobalMaxPool", "x")], {}),
    "Gemm": ([op("Flatten", "x", outputs=("f",)), op("Gemm", "f", "w", "b", transB=1, alpha=0.5, beta=2.0)],
             {"w": normal(5, 144), "b": normal(5)}),
    "MatMul": ([op("MatMul", "x", "w")], {"w": normal(6, 5)}),
    "MatMul-left": ([op("MatMul", "w", "x")], {"w": normal(5, 6)}),
    "MatMul-both": ([op("Transpose", "x", outputs=("t",), perm=[0, 1, 3, 2]), op("MatMul", "x", "t")], {}),
    "Einsum": ([op("Einsum", "x", "x", equation="nchw,ncvw->nchv")], {}),
    "Dropout": ([op("Dropout", "x", "r")], {"r": np.float32(0.3)}),
    "Add": ([op("Add", "x", "w")], {"w": normal(6)}),
    "Sub": ([op("Sub", "w", "x")], {"w": normal(4, 1, 1)}),
    "Mul": ([op("Mul", "x", "w")], {"w": np.float32(0.3)}),
    "Div": ([op("Div", "x", "w")], {"w": abs(normal(6)) + 1}),
    "Pow": ([op("Abs", "x", outputs=("a",)), op("Pow", "a", "w")], {"w": np.float32(1.7)}),
    "Max": ([op("Max", "x", "w")], {"w": normal(6)}),
    "Min": ([op("Min", "x", "w")], {"w": normal(6)}),
    "Sum": ([op("Sum", "x", "w", "x")], {"w": normal(6)}),
    "Mean": ([op("Mean", "x", "w")], {"w": normal(6)}),
    "Mod": ([op("Mod", "x", "w", fmod=1)], {"w": np.float32(0.7)}),
    "Clip": ([op("Clip", "x", "lo", "hi")], {"lo": np.float32(-0.3), "hi": np.float32(0.5)}),
    "Clip-6": ([op("Clip", "x", min=-0.3, max=0.5)], {}, {"opset": 6}),
    "Where": ([op("Greater", "x", "w", outputs=("c",)), op("Where", "c", "x", "w")], {"w": normal(6)}),
    "Softmax": ([op("Softmax", "x", axis=1)], {}),
    "LogSoftmax": ([op("LogSoftmax", "x", axis=-1)], {}),
    "Gelu": ([op("Gelu", "x")], {}, {"opset": 20}),
    "Gelu-tanh": ([op("Gelu", "x", approximate="tanh")], {}, {"opset": 20}),
    "LeakyRelu": ([op("LeakyRelu", "x", alpha=0.2)], {}),
    "PRelu": ([op("PRelu", "x", "w")], {"w": normal(4, 1, 1)}),
    "Selu": ([op("Selu", "x")], {}),
    "HardSigmoid": ([op("HardSigmoid", "x", alpha=0.3)], {}),
    "ThresholdedRelu": ([op("ThresholdedRelu", "x", alpha=0.5)], {}),
    "Celu": ([op("Celu", "x", alpha=0.5)], {}),
    "Elu": ([op("Elu", "x", alpha=0.5)], {}),
    "Reshape": ([op("Reshape", "x", "s")], {"s": whole(0, -1, 3)}),
    "Flatten": ([op("Flatten", "x", axis=2)], {}),
    "Transpose": ([op("Transpose", "x", perm=[0, 3, 1, 2])], {}),
    "Squeeze": ([op("Unsqueeze", "x", "a", outputs=("u",)), op("Squeeze", "u", "a")], {"a": whole(1)}),
    "Unsqueeze": ([op("Unsqueeze", "x", "a")], {"a": whole(-1, 1)}),
    "Concat": ([op("Concat", "x", "x", axis=1)], {}),
    "Split": ([op("Split", "x", "s", outputs=("a", "b"), axis=1), op("Sub", "b", "a")], {"s": whole(2, 2)}),
    "Slice": ([op("Slice", "x", "s", "e", "a", "t")],
              {"s": whole(1, -1), "e": whole(3, -9), "a": whole(1, 3), "t": whole(1, -2)}),
    "Slice-9": ([op("Slice", "x", starts=[1], ends=[3], axes=[2])], {}, {"opset": 9}),
    "Gather": ([op("Gather", "x", "i", axis=2)], {"i": np.array([[0, -1], [2, 2]], dtype=np.int64)}),
    "GatherElements": ([op("ArgMin", "x", outputs=("i",), axis=3), op("GatherElements", "x", "i", axis=3)], {}),
    "Expand": ([op("Unsqueeze", "x", "a", outputs=("u",)), op("Expand", "u", "s")],
               {"a": whole(1), "s": whole(1, 3, 1, 1, 1)}),
    "Tile": ([op("Tile", "x", "r")], {"r": whole(1, 2, 1, 3)}),
    "Pad": ([op("Pad", "x", "p", "v")], {"p": whole(0, 0, 1, 2, 0, 0, 0, 1), "v": np.float32(0.5)}),
    "Pad-reflect": ([op("Pad", "x", "p", mode="reflect")], {"p": whole(0, 0, 1, 2, 0, 0, 2, 1)}),
    "Pad-edge": ([op("Pad", "x", "p", mode="edge")], {"p": whole(0, 0, 1, 2, 0, 0, 2, 1)}),
    "Cast": ([op("Cast", "x", outputs=("d",), to=TensorProto.INT32), op("Cast", "d", to=TensorProto.FLOAT)], {}),
    "Shape": ([op("Shape", "x", outputs=("s",)), op("ConstantOfShape", "s", outputs=("z",)), op("Add", "x", "z")], {}),
    "Size": ([op("Size", "x", outputs=("s",)), op("Cast", "s", outputs=("f",), to=1), op("Div", "x", "f")], {}),
    "Range": ([op("Range", "a", "b", "c", outputs=("r",)), op("Gather", "x", "r", axis=3)],
              {"a": np.int64(0), "b": np.int64(6), "c": np.int64(2)}),
    "DepthToSpace": ([op("DepthToSpace", "x", blocksize=2)], {}),
    "DepthToSpace-crd": ([op("DepthToSpace", "x", blocksize=2, mode="CRD")], {}),
    "SpaceToDepth": ([op("SpaceToDepth", "x", blocksize=2)], {}),
    "Trilu": ([op("Trilu", "x", upper=0)], {}),
    "Resize": ([op("Resize", "x", "", "f", mode="nearest", coordinate_transformation_mode="asymmetric",
                   nearest_mode="floor")], {"f": np.array([1, 1, 2, 2], dtype="f")}),
    "Resize-linear": ([op("Resize", "x", "", "", "s", mode="linear", outputs=("y",))], {"s": whole(2, 4, 9, 11)}),
    "ReduceSum": ([op("ReduceSum", "x", "a", keepdims=0)], {"a": whole(2, 3)}),
    "ReduceSum-all": ([op("ReduceSum", "x")], {}),
    "CumSum": ([op("CumSum", "x", "a")], {"a": np.int64(3)}),
    "TopK": ([op("TopK", "x", "k", outputs=("y", "i"), axis=3)], {"k": whole(3)}),
    "ArgMax": ([op("ArgMax", "x", axis=1)], {}),
    "OneHot": ([op("ArgMax", "x", outputs=("i",), axis=1, keepdims=0), op("OneHot", "i", "d", "v")],
               {"d": np.int64(4), "v": np.array([0.5, 2], dtype="f")}),
    "QuantizeLinear": ([op("QuantizeLinear", "x", "s", "z", outputs=("q",)), op("DequantizeLinear", "q", "s", "z")],
                       {"s": np.float32(0.05), "z": np.uint8(128)}, {"opset": 21}),
    "DequantizeLinear": ([op("DequantizeLinear", "w", "s", "z", outputs=("d",), axis=0), op("MatMul", "x", "d")],
                         {"w": RNG.integers(-99, 99, size=(6, 5)).astype(np.int8), "s": abs(normal(6)),
                          "z": np.zeros(6, dtype=np.int8)}, {"opset": 21}),
}  # fmt: skip
PLAIN = ["Abs", "Neg", "Exp", "Erf", "Sin", "Cos", "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish",
         "HardSwish", "Identity", "Sign", "Floor", "Ceil", "Round"]  # fmt: skip
CASES |= {kind: ([op(kind, "x")], {}, {"opset": 18}) for kind in PLAIN}
CASES |= {
    kind: ([op("Abs", "x", outputs=("a",)), op(kind, "a")], {}) for kind in ("Sqrt", "Log", "Reciprocal")
}  # fmt: skip
REDUCED = ["Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp"]
CASES |= {f"Reduce{kind}": ([op(f"Reduce{kind}", "x", axes=[1, -1])], {}) for kind in REDUCED}
CASES |= {
    kind: ([op(kind, "x", "w", outputs=("c",)), op("Cast", "c", to=TensorProto.FLOAT)], {"w": normal(6)})
    for kind in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
}
CASES |= {
    kind: ([op("Greater", "x", "w", outputs=("c",)), op("Less", "x", "u", outputs=("d",)),
            op(kind, "c", "d", outputs=("e",)), op("Cast", "e", to=TensorProto.FLOAT)],
           {"w": normal(6), "u": normal(6)})
    for kind in ("And", "Or", "Xor")
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_that_of_the_reference(tmp_path, name):
    """Each within 1e-5 of the reference's largest number; where the graph has a gradient it is finite."""
    nodes, constants, *more = CASES[name]
    form = {"shape": IMAGE, **(more[0] if more else {})}
    file = saved(tmp_path, nodes, constants, **form)
    x = normal(*form["shape"])
    expected = ReferenceEvaluator(str(file)).run(None, {"x": x})[0]
    network = GraphNetwork(read_graph(file), IMAGE[1:])
    given = torch.tensor(x, requires_grad=True)
    got = network.run(given)
    assert tuple(got.shape) == expected.shape
    assert np.abs(got.detach().numpy() - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
    if got.requires_grad:
        (gradient,) = torch.autograd.grad(got.sum(), given)
        assert torch.isfinite(gradient).all()


def test_softmax_before_version_13_is_over_all_axes_from_its_own_on(tmp_path):
    """Closed form; the reference has the newer meaning alone."""
    network = GraphNetwork(read_graph(saved(tmp_path, [op("Softmax", "x", axis=1)], opset=11)), IMAGE[1:])
    x = torch.tensor(normal(*IMAGE))
    assert torch.allclose(network(x), x.flatten(1).softmax(1).reshape(x.shape), atol=1e-6)


def test_every_operator_has_a_case():
    """Those without one are attributes of others, or need a newer operator set than the reference's."""
    used = {node.op_type for nodes, *_ in CASES.values() for node in nodes}
    assert set(OPERATORS) - used == {"CastLike", "GroupNormalization", "IsNaN", "Not", "ReduceLogSum"}


def test_constants_are_computed_once_before_anything_runs(tmp_path):
    """Exporters share weights by Identity, and standardise them in the graph. Oracle: the reference."""
    nodes = [op("Identity", "w", outputs=("v",)), op("Mul", "v", "s", outputs=("u",)),
             op("Conv", "x", "u", outputs=("c",)), op("Conv", "c", "v")]  # fmt: skip
    file = saved(tmp_path, nodes, {"w": normal(4, 4, 2, 2), "s": np.float32(0.5)})
    network = GraphNetwork(read_graph(file), IMAGE[1:])
    assert [node.kind for node, *_ in network.nodes] == ["Conv", "Conv"]
    x = normal(*IMAGE)
    expected = ReferenceEvaluator(str(file)).run(None, {"x": x})[0]
    assert np.abs(network(torch.tensor(x)).numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet", "test_nfnet", "test_convnext"])
def test_a_network_that_torch_exports_keeps_logits_and_gradients(tmp_path, name):
    """Oracle: the network that was exported. Of each family of timm's the smallest."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network = timm.create_model(name).eval()
    size = network.pretrained_cfg["input_size"][1]
    x = torch.rand(2, 3, size, size)
    torch.onnx.export(
        network, (x[:1],), str(tmp_path / "net.onnx"), opset_version=17, dynamo=False, input_names=["x"],
        output_names=["y"], dynamic_axes={"x": {0: "n"}},
    )  # fmt: skip
    graph = GraphNetwork(read_graph(tmp_path / "net.onnx"), (3, size, size))
    assert (graph.notes, graph.blocked, graph.single) == ([], (), False)
    results = []
    for each in (network, graph):
        given = x.clone().requires_grad_()
        logits = each(given)
        (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), given)
        results.append((logits.detach(), gradient))
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


CIFAR = "[preprocessing]\nmean = [0.4914, 0.4822, 0.4465]\nstd = [0.2023, 0.1994, 0.2010]\n"


def entry(root, file, shape=(3, 32, 32), classes=10, more="", preprocessing=CIFAR):
    folder = root / "net"
    folder.mkdir(exist_ok=True)
    (folder / "entry.toml").write_text(
        f'name = "net"\ninput_shape = {list(shape)}\nclasses = {classes}\n{more}\n{preprocessing}'
        f'[weights]\npath = "{file}"\nformat = "onnx"\n'
    )
    return load_entry("net", [root])


@pytest.mark.parametrize(("name", "accuracy"), [("sri_resnet_a", 79.7), ("vit_pgd_2_3_16", 60.3)])
def test_networks_of_others_reach_their_accuracy_and_have_the_references_logits(real_data, tmp_path, name, accuracy):
    """846 images; the reference's batch norms of version 9 are those of training, so it is asked in version 15."""
    file = real_data("cifar10_robust") / f"{name}.onnx"
    model = build_model(entry(tmp_path, file))
    data = datasets.make("npz", {"path": real_data("cifar10_subset/cifar10_lossless.npz")})
    batch = data.load("test", data.index("test").ids, Grid())
    images = torch.from_numpy(batch.inputs)
    with torch.no_grad():
        logits = model(images)
    right = float((logits.argmax(1).numpy() == batch.labels).mean())
    assert abs(100 * right - accuracy) <= 0.1
    reference = ReferenceEvaluator(onnx.version_converter.convert_version(onnx.load(file), 15))
    for at in range(2):
        alone = reference.run(None, {"input": model.prepared(images[at : at + 1]).numpy()})[0]
        assert np.abs(alone - logits[at].numpy()).max() <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"), [("sri_resnet_a", {2: 56, 4: 33, 8: 5}), ("vit_pgd_2_3_16", {2: 48, 8: 12})]
)
def test_networks_of_others_break_as_their_provenance_says(real_data, tmp_path, name, figures):
    """PGD of 20 steps on 300 images, within 3 points of the stated accuracies (300 to 500 images)."""
    model = build_model(entry(tmp_path, real_data("cifar10_robust") / f"{name}.onnx"))
    data = datasets.make("npz", {"path": real_data("cifar10_subset/cifar10_lossless.npz")})
    batch = data.load("test", data.index("test").ids[:300], Grid())
    x, y = torch.from_numpy(batch.inputs), torch.from_numpy(np.asarray(batch.labels)).long()
    for eps, percent in figures.items():
        budget, z = eps / 255, x.clone()
        for _ in range(20):
            z.requires_grad_()
            (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(model(z), y, reduction="sum"), z)
            step = z.detach() + budget / 4 * gradient.sign()
            z = torch.minimum(torch.maximum(step, x - budget), x + budget).clamp(0, 1)
        with torch.no_grad():
            assert abs(100 * float((model(z).argmax(1) == y).float().mean()) - percent) <= 3


def test_a_batch_that_is_written_in_is_freed_where_that_changes_nothing(tmp_path):
    """Oracle: outputs of one sample at a time; a graph that cannot be freed is computed so."""
    weight = {"w": normal(144, 3), "s": whole(1, 144), "t": whole(1, -1)}
    for shape in ("s", "t"):
        nodes = [op("Reshape", "x", shape, outputs=("f",)), op("MatMul", "f", "w")]
        network = GraphNetwork(read_graph(saved(tmp_path, nodes, weight, batch=1)), IMAGE[1:])
        assert "freed" in network.notes[0]
        assert not network.single
        x = torch.tensor(normal(5, *IMAGE[1:]))
        assert torch.allclose(network(x), torch.cat([network(one) for one in x.split(1)]), atol=1e-5)
    nodes = [op("ReduceMean", "x", outputs=("m",), axes=[0]), op("Flatten", "m", outputs=("f",), axis=0),
             op("MatMul", "f", "w")]  # fmt: skip
    network = GraphNetwork(read_graph(saved(tmp_path, nodes, weight, batch=1)), IMAGE[1:])
    assert network.single
    assert "one by one" in network.notes[0]
    assert network(torch.tensor(normal(5, *IMAGE[1:]))).shape == (5, 3)


def test_an_unknown_operator_is_named(tmp_path):
    file = saved(tmp_path, [op("NonMaxSuppression", "x", "x", outputs=("n",)), op("Det", "x")])
    with pytest.raises(EntryError, match=r"entry 'net'.*not known: Det, NonMaxSuppression"):
        build_model(entry(tmp_path, file, IMAGE[1:], preprocessing=""))
    (tmp_path / "net.onnx").write_bytes(b"no such thing")
    with pytest.raises(EntryError, match="cannot be read as an ONNX file"):
        build_model(entry(tmp_path, tmp_path / "net.onnx", IMAGE[1:], preprocessing=""))


def test_without_a_gradient_white_box_attacks_are_skipped_and_say_why(tmp_path):
    """Rounded activations: PGD would find nothing. Control: the same network without the rounding."""
    weight = {"w": normal(4 * 6 * 6, 3)}
    for rounding in (True, False):
        nodes = [op("Round" if rounding else "Relu", "x", outputs=("r",)), op("Flatten", "r", outputs=("f",)),
                 op("MatMul", "f", "w")]  # fmt: skip
        one = entry(tmp_path, saved(tmp_path, nodes, weight), IMAGE[1:], 3, preprocessing="")
        model = build_model(one)
        reason = without_gradient(attacks.make("foolbox:LinfPGD"), model)
        assert reason == ("needs the network's gradient, which Round (r) does not have" if rounding else "")
        assert without_gradient(attacks.make("square"), model) == ""
        assert without_gradient(attacks.make("noise-linf"), model) == ""
        assert bool(without_gradient(explainers.make("saliency"), model)) == rounding
        assert without_gradient(explainers.make("occlusion"), model) == ""
        found = {result.name: result for result in check_entry(one)}
        assert ("Round (r) has none" in found["input gradient"].finding) == rounding


def test_gradcam_finds_the_convolutions_of_a_graph(real_data, tmp_path):
    """Operators are torch's own modules: an explainer that looks for the last spatial layer finds one."""
    model = build_model(entry(tmp_path, real_data("cifar10_robust") / "sri_resnet_a.onnx"))
    x, targets = torch.rand(2, 3, 32, 32), torch.tensor([1, 2])
    heat = explainers.make("gradcam").explain(model, x, targets, generator=None)
    assert heat.shape == x.shape
    assert float(heat.abs().amax()) > 0
