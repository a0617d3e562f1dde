"""Converts GGUF checkpoints of llama.cpp to Hugging Face folders.

A GGUF file holds fields, tensors and the tokenizer. `convert` writes a folder
for huggingface.py and tokenization.py: config.json, model.safetensors (float32,
so that no dequantised value is rounded), tokenizer.json and
tokenizer_config.json. A field that is not understood is refused.

The layout is that of llama.cpp's convert_hf_to_gguf.py, class Gemma3Model. It
stores Gemma's norms as 1 + w; Hugging Face and this package store w.
"""

from collections.abc import Mapping, Sequence
import importlib
import json
import os
import pathlib
from typing import Any

import numpy as np
import safetensors.numpy

from coderl.models.checkpoints import hf_config, hf_files
from commons import errors, files

# The version of the folders; those of another version are converted again.
VERSION = 1

ARCHITECTURE = 'gemma3'
# llama.cpp's name of a SentencePiece tokenizer.
_TOKENIZER = 'llama'

# Fields of the architecture and their names in config.json.
_FIELDS = {
  'context_length': 'max_position_embeddings',
  'embedding_length': 'hidden_size',
  'block_count': 'num_hidden_layers',
  'feed_forward_length': 'intermediate_size',
  'attention.head_count': 'num_attention_heads',
  'attention.head_count_kv': 'num_key_value_heads',
  'attention.key_length': 'head_dim',
  'attention.sliding_window': 'sliding_window',
  'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
  'rope.freq_base': 'rope_theta',
}
# Optional fields, and the fields whose values they must repeat.
_REPEATED = {
  'attention.value_length': 'attention.key_length',
  'rope.dimension_count': 'attention.key_length',
}

_TABLE = 'token_embd.weight'
_NAMES = {
  'token_embd': 'model.embed_tokens',
  'output_norm': 'model.norm',
}
_LAYER_NAMES = {
  'attn_norm': 'input_layernorm',
  'attn_q': 'self_attn.q_proj',
  'attn_k': 'self_attn.k_proj',
  'attn_v': 'self_attn.v_proj',
  'attn_q_norm': 'self_attn.q_norm',
  'attn_k_norm': 'self_attn.k_norm',
  'attn_output': 'self_attn.o_proj',
  'post_attention_norm': 'post_attention_layernorm',
  'ffn_norm': 'pre_feedforward_layernorm',
  'ffn_gate': 'mlp.gate_proj',
  'ffn_up': 'mlp.up_proj',
  'ffn_down': 'mlp.down_proj',
  'post_ffw_norm': 'post_feedforward_layernorm',
}

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # Token types.
_SPACE = '\u2581'  # Stands for a space in the vocabulary.
_ROLES = {
  'bos_token': 'bos_token_id',
  'eos_token': 'eos_token_id',
  'pad_token': 'padding_token_id',
  'unk_token': 'unknown_token_id',
}


def convert(
  path: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> None:
  """Writes the Hugging Face folder of a GGUF file.

  Args:
    path: the file. Its tensors may have any type that the package gguf can
      dequantise.
    folder: the folder; created if absent, its files are replaced.

  Raises:
    UserError: the package gguf is absent, or the file cannot be read, is
      truncated, or holds fields, tensors or tokens that are not supported.
  """
  try:
    fields, stored = _open(path)
    config = _config(fields, int(stored[_TABLE].shape[-1]))
    tokenizer = _tokenizer_json(fields)
    tokenizer_config = _tokenizer_config(fields)
    tensors = _tensors(stored, config['num_hidden_layers'])
  except LookupError as e:
    raise errors.UserError(
      f'{path}: lacks a field, tensor or token: {e}'
    ) from e
  except errors.UserError as e:
    raise errors.UserError(f'{path}: {e}') from e
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  safetensors.numpy.save_file(
    tensors, folder / hf_files.WEIGHTS, metadata={'format': 'pt'}
  )
  for name, content in (
    (hf_files.CONFIG, config),
    ('tokenizer.json', tokenizer),
    ('tokenizer_config.json', tokenizer_config),
  ):
    text = json.dumps(content, ensure_ascii=False)
    files.write_text(folder / name, text + '\n')


def library():
  """Returns the package gguf, an optional dependency.

  Raises:
    UserError: the package is not installed.
  """
  try:
    return importlib.import_module('gguf')
  except ImportError as e:
    raise errors.UserError(
      "a GGUF file is read with the package 'gguf': pip install 'coderl[gemma]'"
    ) from e


def _open(path) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns the values of the fields and the package's tensors, by name."""
  package = library()
  try:
    reader = package.GGUFReader(path)
    fields = {n: field.contents() for n, field in reader.fields.items()}
  # The package raises these on other files and on truncated ones.
  except (OSError, ValueError, LookupError, OverflowError) as e:
    raise errors.UserError(
      f'cannot be read as a GGUF file, or is truncated: {e}'
    ) from e
  return fields, {tensor.name: tensor for tensor in reader.tensors}


def _config(fields: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
  """Returns config.json; raises KeyError for a missing field."""
  architecture = fields.get('general.architecture')
  if architecture != ARCHITECTURE:
    raise errors.UserError(
      f'architecture {architecture!r} is not supported; choices: {ARCHITECTURE}'
    )
  prefix = f'{ARCHITECTURE}.'
  shape_fields = {
    name.removeprefix(prefix): value
    for name, value in fields.items()
    if name.startswith(prefix)
  }
  for name, value in shape_fields.items():
    expected = value
    if name in _REPEATED:
      expected = shape_fields.get(_REPEATED[name])
    if (name not in _FIELDS and name not in _REPEATED) or value != expected:
      raise errors.UserError(f'{prefix}{name}={value} is not supported')
  config = {name: fields[prefix + field] for field, name in _FIELDS.items()}
  # The shortest decimal of the float32: 1e-06, not 9.999999974752427e-07.
  config['rms_norm_eps'] = float(str(np.float32(config['rms_norm_eps'])))
  config |= {
    'model_type': 'gemma3_text',
    'vocab_size': vocab_size,
    'query_pre_attn_scalar': config['head_dim'],
  }
  ids = {
    f'{role}_id': fields[f'tokenizer.ggml.{name}']
    for role, name in _ROLES.items()
    if f'tokenizer.ggml.{name}' in fields
  }
  return hf_config.to_json(hf_config.parse(config), 'float32') | ids


def _tensors(
  stored: Mapping[str, Any], num_layers: int
) -> dict[str, np.ndarray]:
  """Returns the float32 tensors by their names in a Hugging Face folder."""
  package = library()
  names = {f'{k}.weight': f'{v}.weight' for k, v in _NAMES.items()} | {
    f'blk.{i}.{k}.weight': f'model.layers.{i}.{v}.weight'
    for i in range(num_layers)
    for k, v in _LAYER_NAMES.items()
  }
  if stored.keys() != names.keys():
    missing = sorted(names.keys() - stored.keys())
    surplus = sorted(stored.keys() - names.keys())
    raise errors.UserError(
      f'the tensors are not those of {ARCHITECTURE} with'
      f' {num_layers} layers: missing {missing[:3]}, surplus {surplus[:3]}'
    )
  tensors = {}
  for stored_name, name in names.items():
    tensor = stored[stored_name]
    try:
      value = package.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as e:
      raise errors.UserError(f'{stored_name}: {e}') from e
    if stored_name.endswith('norm.weight'):
      value = value - 1
    tensors[name] = np.ascontiguousarray(value, np.float32)
  return tensors


def _tokenizer_json(fields: Mapping[str, Any]) -> dict[str, Any]:
  """Returns tokenizer.json: a byte-pair encoding with byte fallback."""
  kind = fields['tokenizer.ggml.model']
  if kind != _TOKENIZER:
    raise errors.UserError(
      f'tokenizer.ggml.model={kind!r} is not supported; choices: {_TOKENIZER}'
    )
  tokens = [_spelling(t) for t in fields['tokenizer.ggml.tokens']]
  ids = {token: i for i, token in enumerate(tokens)}
  return {
    'version': '1.0',
    'truncation': None,
    'padding': None,
    'added_tokens': _added(tokens, fields['tokenizer.ggml.token_type']),
    'normalizer': {
      'type': 'Replace',
      'pattern': {'String': ' '},
      'content': _SPACE,
    },
    'pre_tokenizer': None,
    'post_processor': _post_processor(fields, tokens),
    'decoder': {
      'type': 'Sequence',
      'decoders': [
        {'type': 'Replace', 'pattern': {'String': _SPACE}, 'content': ' '},
        {'type': 'ByteFallback'},
        {'type': 'Fuse'},
      ],
    },
    'model': {
      'type': 'BPE',
      'dropout': None,
      'unk_token': tokens[fields['tokenizer.ggml.unknown_token_id']],
      'continuing_subword_prefix': None,
      'end_of_word_suffix': None,
      'fuse_unk': True,
      'byte_fallback': True,
      'ignore_merges': False,
      'vocab': ids,
      'merges': _merges(ids),
    },
  }


def _spelling(token: str) -> str:
  """Returns a vocabulary token; the file writes runs of _SPACE as spaces."""
  return token if token.strip(' ') else _SPACE * len(token)


def _merges(ids: Mapping[str, int]) -> list[tuple[str, str]]:
  """Returns the merges, pairs of tokens, in order of priority.

  The file has none. Gemma's merges are all pairs that the vocabulary allows. A
  merge into a token of lower id comes first (the order of ids, not of scores);
  among the merges into one token, the one with the longest left token.
  """
  return [
    (token[:i], token[i:])
    for token in ids
    for i in range(len(token) - 1, 0, -1)
    if token[:i] in ids and token[i:] in ids
  ]


def _added(tokens: Sequence[str], types: Sequence[int]) -> list[dict]:
  """Returns the tokens that are split off a text before it is encoded."""
  flags = dict.fromkeys(
    ('single_word', 'lstrip', 'rstrip', 'normalized'), False
  )
  special = (_UNKNOWN, _CONTROL)
  return [
    {'id': i, 'content': token, **flags, 'special': kind in special}
    for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
    # Runs of spaces never match, because the normaliser has replaced them.
    if kind in special or (kind == _USER_DEFINED and token.strip(_SPACE))
  ]


def _post_processor(
  fields: Mapping[str, Any], tokens: Sequence[str]
) -> dict[str, Any] | None:
  """Returns the step that adds <bos> and <eos> if the file asks for them."""
  ends = [
    fields[f'tokenizer.ggml.{role}_token_id']
    if fields.get(f'tokenizer.ggml.add_{role}_token', default)
    else None
    for role, default in (('bos', True), ('eos', False))
  ]

  def around(sequence: str, type_id: int) -> list[dict]:
    bos, eos = (
      [{'SpecialToken': {'id': tokens[i], 'type_id': type_id}}]
      if i is not None
      else []
      for i in ends
    )
    return [*bos, {'Sequence': {'id': sequence, 'type_id': type_id}}, *eos]

  return {
    'type': 'TemplateProcessing',
    'single': around('A', 0),
    'pair': around('A', 0) + around('B', 1),
    'special_tokens': {
      tokens[i]: {'id': tokens[i], 'ids': [i], 'tokens': [tokens[i]]}
      for i in ends
      if i is not None
    },
  }


def _tokenizer_config(fields: Mapping[str, Any]) -> dict[str, Any]:
  """Returns tokenizer_config.json."""
  tokens = fields['tokenizer.ggml.tokens']
  config = {'tokenizer_class': 'GemmaTokenizer'}
  for role, name in _ROLES.items():
    if (id_ := fields.get(f'tokenizer.ggml.{name}')) is not None:
      config[role] = tokens[id_]
  if template := fields.get('tokenizer.chat_template'):
    config['chat_template'] = template
  return config
