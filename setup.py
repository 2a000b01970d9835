from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
SYNTHETIC = [
    "fontpkg-roboto",
    "fontpkg-open-sans",
    "fontpkg-noto-sans",
    "fontpkg-pt-sans-narrow",
    "fontpkg-oswald",
    "fontpkg-source-serif-4",
    "fontpkg-playfair-display",
    "fontpkg-inconsolata",
    "fontpkg-roboto-mono",
    "fontpkg-space-mono",
    "fontpkg-lobster",
    "fontpkg-indie-flower",
    "fontpkg-permanent-marker",
    "cvttf-notosanscjk-regular",
    "scikit-image",
]
RUN_ONNX = ["onnx>=1.17", "onnxruntime>=1.23"]
ONNX = [*RUN_ONNX, "paddle2onnx>=2.1,<3; python_version < '3.13'"]
OPENVINO = ["openvino>=2025"]
PDF = ["pypdfium2>=4.30"]
FAST = ["numba>=0.61"]


def requirements() -> list[str]:
    lines = (HERE / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def version() -> str:
    line = next(x for x in (HERE / "ppdet_db/__init__.py").read_text().splitlines() if x.startswith("__version__"))
    return line.split('"')[1]


setup(
    name="ppdet_db",
    version=version(),
    description="Config-driven training of DBNet text detectors on PaddlePaddle",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["ppdet_db", "ppdet_db.*"]),
    install_requires=requirements(),
    extras_require={
        # fonts and photographs for SyntheticDataSet, which draws with Matplotlib's fonts alone when they are absent
        "synthetic": SYNTHETIC,
        # exporting to ONNX (Paddle2ONNX has no release for Python 3.13) and running such models
        "onnx": ONNX,
        "openvino": OPENVINO,
        # pages of PDF files as pictures
        "pdf": PDF,
        # compiles the drawing of label maps, which NumPy does several times slower
        "fast": FAST,
        # packages that carry PP-OCR's detectors, and what it takes to read these and to run them for comparison
        "weights": ["rapidocr>=3.10", "rapidocr-onnxruntime>=1.4.4; python_version < '3.13'", *RUN_ONNX],
        "dev": ["pytest>=8", "ruff>=0.8", "mypy>=1.13", "types-PyYAML", *ONNX, *OPENVINO, *PDF, *FAST],
    },
    entry_points={"console_scripts": ["ppdet-db = ppdet_db.cli.__main__:main"]},
)
