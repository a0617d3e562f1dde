"""GGUF files give the values, names, config and tokenizer that they hold."""

import json
import re
import struct
import sys

import numpy as np
import pytest
import safetensors.numpy

from coderl.models import transformer
from coderl.models.checkpoints import gguf, huggingface
from coderl.text import tokenization
from commons import errors
from tests.fixtures import tiny_gguf

# Names in the file and in a Hugging Face folder.
NAMES = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
}
LAYER_NAMES = {
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


def folder_name(name):
  if name in NAMES:
    return NAMES[name]
  _, layer, kind, _ = name.split('.')
  return f'model.layers.{layer}.{LAYER_NAMES[kind]}.weight'


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
  """Returns the folder and the values in the file."""
  root = tmp_path_factory.mktemp('gguf')
  written = tiny_gguf.write(root / 'tiny.gguf')
  gguf.convert(root / 'tiny.gguf', root / 'folder')
  return root / 'folder', written


@pytest.fixture(scope='module')
def tokenizer(converted):
  return tokenization.Tokenizer.from_dir(converted[0])


def test_values_are_kept_and_norms_lose_one(converted):
  folder, written = converted
  tensors = safetensors.numpy.load_file(folder / 'model.safetensors')
  assert tensors.keys() == {folder_name(name) for name in written}
  for name, value in written.items():
    expected = value - 1 if value.ndim == 1 else value
    assert tensors[folder_name(name)].dtype == np.float32
    np.testing.assert_array_equal(tensors[folder_name(name)], expected, name)


def test_the_config_follows_the_fields(converted):
  assert huggingface.read_config(converted[0]) == transformer.ModelConfig(
    vocab_size=tiny_gguf.VOCAB,
    num_layers=7,
    d_model=32,
    num_heads=2,
    num_kv_heads=1,
    head_dim=16,
    mlp_dim=256,
    max_len_tokens=640,
    rope_theta=5e4,
    norm_eps=tiny_gguf.EPS,
    qkv_bias=False,
    qk_norm=True,
    post_norms=True,
    norm_offset=True,
    activation='gelu_tanh',
    scaled_embeddings=True,
    layer_pattern=('local',) * 5 + ('global',),
    sliding_window=12,
    local_rope_theta=1e4,
  )


def test_the_folder_can_be_loaded(converted):
  folder, written = converted
  _, params = huggingface.load(folder)
  np.testing.assert_array_equal(
    params['embedding'], written['token_embd.weight']
  )
  np.testing.assert_array_equal(
    params['layers']['gate'][3], written['blk.3.ffn_gate.weight'].T
  )


@pytest.mark.parametrize(
  ('text', 'pieces'),
  [
    # Merges are in the order of ids.
    ('abc', 'a|bc'),
    ('abab', 'ab|ab'),
    ('dddcd', 'ddd|cd'),
    ('cd a', 'cd|\u2581a'),
    ('a a', 'a|\u2581a'),
    ('a    b', 'a|\u2581\u2581|\u2581\u2581|b'),
    ('a\n\n\nb', 'a|\n\n|\n|b'),
    ('<b>c<', '<b>|c|<'),
    ('\xe9', '<0xC3>|<0xA9>'),
    ('<eos>a<unk>', '<eos>|a|<unk>'),
    ('', ''),
  ],
)
def test_texts_are_encoded_as_gemma_does(tokenizer, text, pieces):
  ids = {
    t if t.strip(' ') else '\u2581' * len(t): i
    for i, (t, _) in enumerate(tiny_gguf.TOKENS)
  }
  expected = [ids[piece] for piece in pieces.split('|')] if pieces else []
  assert tokenizer.encode(text) == expected
  assert tokenizer.decode(expected) == text


def test_merges_are_ordered_by_their_results(converted):
  model = json.loads((converted[0] / 'tokenizer.json').read_text())
  assert model['model']['merges'] == [
    ['\n', '\n'],
    ['\u2581', '\u2581'],
    ['\u2581\u2581', '\u2581'],
    ['\u2581', '\u2581\u2581'],
    ['b', 'c'],
    ['a', 'b'],
    ['dd', 'd'],
    ['d', 'dd'],
    ['c', 'd'],
    ['\u2581', 'a'],
    ['d', 'd'],
  ]


def test_control_tokens_are_special(tokenizer):
  ids, _ = tokenizer.encode_completion('<turn>')
  assert len(ids) == 7
  assert tokenizer.decode(ids) == '<bos><turn>'
  assert tokenizer.encode('<turn>') == [4]


def test_a_completion_begins_with_bos(tokenizer):
  ids, _ = tokenizer.encode_completion('ab')
  assert tokenizer.decode(ids) == '<bos>ab'
  assert tokenizer.decode([tokenizer.eos_id, tokenizer.pad_id]) == '<eos><pad>'
  with pytest.raises(errors.UserError, match='chat template'):
    tokenizer.encode_chat('ab')


def test_the_file_sets_bos_and_template(tmp_path):
  fields = {
    **tiny_gguf.FIELDS,
    'tokenizer.ggml.add_bos_token': None,
    'tokenizer.ggml.add_eos_token': True,
    'tokenizer.chat_template': (
      '{% for m in messages %}{{ m.content }}<eos>{% endfor %}'
    ),
  }
  tiny_gguf.write(tmp_path / 'x.gguf', fields=fields)
  gguf.convert(tmp_path / 'x.gguf', tmp_path / 'x')
  tokenizer = tokenization.Tokenizer.from_dir(tmp_path / 'x')
  around, _ = tokenizer.encode_completion('a')
  assert tokenizer.decode(around) == '<bos>a<eos>'
  chat, _ = tokenizer.encode_chat('a')
  assert tokenizer.decode(chat) == 'a<eos>'


def refusal(tmp_path, **changes):
  tiny_gguf.write(tmp_path / 'bad.gguf', **changes)
  return refused(tmp_path / 'bad.gguf')


def refused(path):
  with pytest.raises(errors.UserError) as caught:
    gguf.convert(path, path.parent / 'folder')
  message = str(caught.value)
  assert '\n' not in message
  assert str(path) in message
  assert not (path.parent / 'folder').exists()
  return message


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'gemma3.block_count': None}, r"lacks .*'gemma3.block_count'"),
    ({'gemma3.block_count': 8}, r'8 layers: missing .*blk.7.attn_k'),
    ({'gemma3.block_count': 6}, r'6 layers: .*surplus .*blk.6.attn_k'),
    ({'gemma3.rope.scaling.factor': 8.0}, r'rope.scaling.factor=8.0 is not'),
    ({'gemma3.attention.value_length': 8}, r'value_length=8 is not'),
    ({'tokenizer.ggml.model': 'gpt2'}, r"'gpt2' is not .* choices: llama"),
    ({'tokenizer.ggml.unknown_token_id': 5000}, r'lacks a .*token'),
  ],
)
def test_unsupported_fields_are_refused(tmp_path, changes, message):
  fields = {**tiny_gguf.FIELDS, **changes}
  assert re.search(message, refusal(tmp_path, fields=fields))


def test_another_architecture_is_refused(tmp_path):
  message = refusal(tmp_path, architecture='mamba')
  assert "'mamba' is not supported; choices: gemma3" in message


def test_tensors_that_are_not_dequantised_are_refused(tmp_path):
  name = 'blk.2.ffn_up.weight'
  tensors = {k: v for k, v in tiny_gguf.TENSORS.items() if k != name}
  raw = {name: np.zeros((256, 32), np.int32)}
  message = refusal(tmp_path, tensors=tensors, raw=raw)
  assert name in message and 'I32' in message


def test_an_unknown_tensor_type_is_refused(tmp_path):
  path = tmp_path / 'bad.gguf'
  tiny_gguf.write(path)
  content = path.read_bytes()
  # The name is followed by the number of axes, 1, their sizes and the type.
  head = b'output_norm.weight' + struct.pack('<IQ', 1, tiny_gguf.D)
  f32, unknown = (head + struct.pack('<I', type_) for type_ in (0, 999))
  assert content.count(f32) == 1
  path.write_bytes(content.replace(f32, unknown))
  assert re.search(r'999\W+ is not a valid', refused(path))


def test_a_truncated_file_is_refused(tmp_path):
  tiny_gguf.write(tmp_path / 'whole.gguf')
  content = (tmp_path / 'whole.gguf').read_bytes()
  cut = tmp_path / 'cut.gguf'
  for size in [*range(0, len(content), len(content) // 40), len(content) - 1]:
    cut.write_bytes(content[:size])
    assert 'is truncated' in refused(cut)


def test_another_file_is_refused(tmp_path):
  assert 'cannot be read as a GGUF file' in refused(tmp_path / 'absent.gguf')
  (tmp_path / 'text.gguf').write_text('{"model_type": "gemma3"}' * 9)
  assert 'cannot be read as a GGUF file' in refused(tmp_path / 'text.gguf')


def test_an_absent_package_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'gguf', None)
  with pytest.raises(errors.UserError, match=r"pip install 'coderl\[gemma\]'"):
    gguf.convert(tmp_path / 'x.gguf', tmp_path / 'folder')
