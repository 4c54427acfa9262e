"""Packaging: all metadata of the project, in this place only. pyproject.toml holds the configuration of tools."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "([^"]+)"$', (HERE / "greencoro/_version.py").read_text(), re.MULTILINE).group(1)

setup(
    name="greencoro",
    version=VERSION,
    description="Plain blocking-style functions as coroutines, in one process or on many machines.",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    author="The greencoro developers",
    license="MIT",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["greencoro", "greencoro.*"]),
    package_data={"greencoro": ["py.typed"], "greencoro.legacy": ["data/Dockerfile"]},
    install_requires=[
        "gevent>=24.11",  # the first with wheels for Python 3.13
        "greenlet>=3.1",
        "psutil>=6.0",
        "click>=8.1",
        "cryptography>=47",  # AESGCM.encrypt_into
        "rich>=13.7",
        "platformdirs>=4.2",
    ],
    extras_require={
        "dev": [
            "pytest>=9.0",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "atheris>=3.0; sys_platform == 'linux' and platform_machine == 'x86_64'",  # where it has wheels
            "ruff>=0.9",
            "mypy>=1.13",
            "numpy>=1.26",
            "sphinx>=7.4",
            "furo>=2024.8",
            "myst-parser>=4.0",
            "noiseprotocol>=0.3.1",  # the independent Noise implementation that the handshake's tests talk to
            "pycos>=4.12",  # a peer in benchmarks, as are the next three
            "rpyc>=6.0",
            "execnet>=2.1",
            "uvloop>=0.21",  # the first with wheels for Python 3.13
            "ipykernel>=6.29",  # the notebook that the tests run cells in, with jupyter_client
        ],
    },
    entry_points={
        "console_scripts": [
            "greencoro = greencoro.cli:main",
            # by the names that they have in programs' documentation and on people's machines
            "discoronode.py = greencoro.cli.discoronode:main",
            "discoro.py = greencoro.cli.discoro:main",
        ]
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
)
