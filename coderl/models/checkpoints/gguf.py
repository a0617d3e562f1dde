"""GGUF checkpoints of llama.cpp, turned into Hugging Face folders.

One file holds fields, tensors and the tokenizer. `convert` writes what `hf` and
`tokenization` open: config.json, model.safetensors (float32, so that no
dequantised value is rounded), tokenizer.json and tokenizer_config.json. All
that the file says of its model is either understood or refused.

The layout is the writer's: llama.cpp, convert_hf_to_gguf.py, Gemma3Model. It
stores Gemma's norms as 1 + w; Hugging Face, and this package, as w.
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
from commons import errors

# Of what `convert` writes; folders of another version are made anew.
VERSION = 1

ARCHITECTURE = 'gemma3'
# The writer's tokenizer of SentencePiece's kind.
_TOKENIZER = 'llama'

# Field of the architecture -> its name in config.json.
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
# Fields that may be left out, and the field whose value they repeat.
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

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # Types of tokens.
_SPACE = '\u2581'  # What a space is in the vocabulary.
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
    path: the file; its tensors of any type that the package gguf dequantises.
    folder: made if need be, and its files replaced.

  Raises:
    UserError: the package gguf is absent, or the file cannot be read, is cut
      short, or holds what is not understood.
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
    (folder / name).write_text(text + '\n', 'utf-8')


def library():
  """The package gguf, which only those who read such files install.

  Raises:
    UserError: it is absent.
  """
  try:
    return importlib.import_module('gguf')
  except ImportError as e:
    raise errors.UserError(
      "a GGUF file is read with the package 'gguf': pip install 'coderl[gemma]'"
    ) from e


def _open(path) -> tuple[dict[str, Any], dict[str, Any]]:
  """What the fields hold, and the package's view of the tensors, by name."""
  package = library()
  try:
    reader = package.GGUFReader(path)
    fields = {n: field.contents() for n, field in reader.fields.items()}
  # What it raises on a file that is none, or that is cut short.
  except (OSError, ValueError, LookupError, OverflowError) as e:
    raise errors.UserError(
      f'cannot be read as a GGUF file, or is cut short: {e}'
    ) from e
  return fields, {tensor.name: tensor for tensor in reader.tensors}


def _config(fields: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
  """config.json; KeyError names a field that the file lacks."""
  found = fields.get('general.architecture')
  if found != ARCHITECTURE:
    raise errors.UserError(
      f'architecture {found!r} is not supported; choices: {ARCHITECTURE}'
    )
  prefix = f'{ARCHITECTURE}.'
  own = {
    name.removeprefix(prefix): value
    for name, value in fields.items()
    if name.startswith(prefix)
  }
  for name, value in own.items():
    wanted = own.get(_REPEATED[name]) if name in _REPEATED else value
    if (name not in _FIELDS and name not in _REPEATED) or value != wanted:
      raise errors.UserError(f'{prefix}{name}={value} is not supported')
  said = {theirs: fields[prefix + ours] for ours, theirs in _FIELDS.items()}
  # The shortest number of the same float32: 1e-06, not 9.999999974752427e-07.
  said['rms_norm_eps'] = float(str(np.float32(said['rms_norm_eps'])))
  said |= {
    'model_type': 'gemma3_text',
    'vocab_size': vocab_size,
    'query_pre_attn_scalar': said['head_dim'],
  }
  ids = {
    f'{role}_id': fields[f'tokenizer.ggml.{name}']
    for role, name in _ROLES.items()
    if f'tokenizer.ggml.{name}' in fields
  }
  return hf_config.to_json(hf_config.parse(said), 'float32') | ids


def _tensors(
  stored: Mapping[str, Any], num_layers: int
) -> dict[str, np.ndarray]:
  """The tensors by their names in a Hugging Face folder, float32."""
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
      f'its tensors are not those of {ARCHITECTURE} with'
      f' {num_layers} layers: missing {missing[:3]}, surplus {surplus[:3]}'
    )
  tensors = {}
  for ours, theirs in names.items():
    tensor = stored[ours]
    try:
      value = package.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as e:
      raise errors.UserError(f'{ours}: {e}') from e
    if ours.endswith('norm.weight'):
      value = value - 1
    tensors[theirs] = np.ascontiguousarray(value, np.float32)
  return tensors


def _tokenizer_json(fields: Mapping[str, Any]) -> dict[str, Any]:
  """tokenizer.json: a byte-pair encoding with bytes to fall back on."""
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
  """A token of the vocabulary; the writer turns runs of spaces into spaces."""
  return token if token.strip(' ') else _SPACE * len(token)


def _merges(ids: Mapping[str, int]) -> list[tuple[str, str]]:
  """Pairs of tokens that make a third, in the order in which they are joined.

  The file gives none. Gemma's own are all that the vocabulary allows, those
  into an earlier token first (the order of ids, not that of scores), and among
  equals the one whose left part is longest.
  """
  return [
    (token[:i], token[i:])
    for token in ids
    for i in range(len(token) - 1, 0, -1)
    if token[:i] in ids and token[i:] in ids
  ]


def _added(tokens: Sequence[str], types: Sequence[int]) -> list[dict]:
  """The tokens that are found in a text before it is encoded."""
  flags = dict.fromkeys(
    ('single_word', 'lstrip', 'rstrip', 'normalized'), False
  )
  special = (_UNKNOWN, _CONTROL)
  return [
    {'id': i, 'content': token, **flags, 'special': kind in special}
    for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
    # Runs of spaces never are: the normaliser has renamed them by then.
    if kind in special or (kind == _USER_DEFINED and token.strip(_SPACE))
  ]


def _post_processor(
  fields: Mapping[str, Any], tokens: Sequence[str]
) -> dict[str, Any] | None:
  """Puts <bos> before a text and <eos> behind, where the file says so."""
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
  tokens = fields['tokenizer.ggml.tokens']
  config = {'tokenizer_class': 'GemmaTokenizer'}
  for role, name in _ROLES.items():
    if (id_ := fields.get(f'tokenizer.ggml.{name}')) is not None:
      config[role] = tokens[id_]
  if template := fields.get('tokenizer.chat_template'):
    config['chat_template'] = template
  return config
