"""TRL's side of rl_step.py; run with its own environment.

GRPOTrainer with the generation of transformers, on the same shape and work.
"""

import sys
import tempfile
import time

import datasets
import numpy as np
import rl_step_work as work_lib
import tokenizers
import torch
import transformers
import trl


def make_tokenizer(vocab: int) -> transformers.PreTrainedTokenizerFast:
  """A character a token; ids beyond the letters have made-up names."""
  letters = [chr(c) for c in range(ord('a'), ord('z') + 1)]
  names = ['<pad>', '<bos>', '<eos>', '<unk>', *letters]
  names += [f'<{i}>' for i in range(len(names), vocab)]
  model = tokenizers.Tokenizer(
    tokenizers.models.WordLevel(
      {name: i for i, name in enumerate(names)}, unk_token='<unk>'
    )
  )
  model.pre_tokenizer = tokenizers.pre_tokenizers.Split('', 'isolated')
  model.decoder = tokenizers.decoders.Fuse()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=model,
    pad_token='<pad>',
    bos_token='<bos>',
    eos_token='<eos>',
    unk_token='<unk>',
    padding_side='left',
  )


def make_model(vocab: int) -> transformers.Qwen2ForCausalLM:
  torch.manual_seed(0)
  config = transformers.Qwen2Config(
    vocab_size=vocab,
    hidden_size=work_lib.D_MODEL,
    intermediate_size=work_lib.MLP_DIM,
    num_hidden_layers=work_lib.LAYERS,
    num_attention_heads=work_lib.HEADS,
    num_key_value_heads=work_lib.KV_HEADS,
    max_position_embeddings=512,
    tie_word_embeddings=True,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
  )
  return transformers.Qwen2ForCausalLM(config)


def make_config(work: work_lib.Work) -> trl.GRPOConfig:
  return trl.GRPOConfig(
    output_dir=tempfile.mkdtemp(),
    per_device_train_batch_size=work.rows,
    num_generations=work_lib.GROUP,
    max_completion_length=work_lib.RESPONSE_LEN,
    max_steps=work.steps,
    learning_rate=work_lib.LEARNING_RATE,
    beta=work.kl_weight,
    epsilon=work_lib.CLIP,
    temperature=1.0,
    top_p=1.0,
    top_k=0,
    gradient_accumulation_steps=1,
    num_iterations=1,
    # Every response is as long as the others: they are to have no end.
    generation_kwargs={'min_new_tokens': work_lib.RESPONSE_LEN},
    report_to=[],
    save_strategy='no',
    use_cpu=True,
    bf16=False,
    gradient_checkpointing=False,
    disable_tqdm=True,
    use_vllm=False,
  )


def main(argv):
  work = work_lib.parse_work(argv, __doc__)
  folder = tempfile.mkdtemp()
  make_model(work.vocab).save_pretrained(folder)
  tokenizer = make_tokenizer(work.vocab)
  rng = np.random.default_rng(0)
  shape = (work.prompts * work.steps, work_lib.PROMPT_LEN)
  rows = rng.integers(ord('a'), ord('z') + 1, shape)
  prompts = [''.join(map(chr, row)) for row in rows]
  clock = work_lib.Clock()

  def reward(completion_ids, **_):
    # From reward to reward is one step, the update that follows it included;
    # the first of these has no step before it.
    if reward.calls:
      clock.step(reward.tokens)
    reward.calls += 1
    reward.tokens = sum(map(len, completion_ids))
    return [
      float(np.mean([i < work_lib.REWARDED_IDS for i in ids]))
      for ids in completion_ids
    ]

  reward.calls = 0
  trainer = trl.GRPOTrainer(
    model=folder,
    reward_funcs=reward,
    args=make_config(work),
    train_dataset=datasets.Dataset.from_dict({'prompt': prompts}),
    processing_class=tokenizer,
  )
  generate = trainer._generate_single_turn

  def timed_generate(*args, **settings):
    began = time.perf_counter()
    out = generate(*args, **settings)
    clock.rolled_out(time.perf_counter() - began)
    return out

  trainer._generate_single_turn = timed_generate
  trainer.train()
  clock.report()


if __name__ == '__main__':
  main(sys.argv[1:])
