"""TRL's part of benchmarks/rl_step.py: its GRPO trainer.

Runs in an environment with trl, with the settings as JSON in the only argument;
prints a JSON line for every step.
"""

import os
import pathlib
import tempfile

os.environ |= {
  'CUDA_VISIBLE_DEVICES': '',
  'HF_HUB_OFFLINE': '1',
  'TRL_EXPERIMENTAL_SILENCE': '1',
}

import datasets
import numpy as np
import rl_step_work
import tokenizers
import torch
import transformers
import trl

_SPECIAL = ('<pad>', '<bos>', '<unk>')


def tokenizer(work: rl_step_work.Work) -> transformers.PreTrainedTokenizerFast:
  """Returns a tokenizer of characters; the model cannot emit its end token."""
  letters = [chr(ord('a') + i) for i in range(26)]
  rest = range(len(_SPECIAL) + len(letters), work.vocab)
  names = [*_SPECIAL, *letters, *(f'<{i}>' for i in rest), '<eos>']
  model = tokenizers.models.WordLevel(
    {name: i for i, name in enumerate(names)}, unk_token='<unk>'
  )
  fast = tokenizers.Tokenizer(model)
  fast.pre_tokenizer = tokenizers.pre_tokenizers.Split('', 'isolated')
  fast.decoder = tokenizers.decoders.Fuse()
  return transformers.PreTrainedTokenizerFast(
    tokenizer_object=fast,
    pad_token='<pad>',
    bos_token='<bos>',
    eos_token='<eos>',
    unk_token='<unk>',
    padding_side='left',
  )


def save_policy(work: rl_step_work.Work, path: pathlib.Path) -> None:
  """Writes the folder from which the trainer loads policy and reference."""
  torch.manual_seed(0)
  config = transformers.Qwen2Config(
    vocab_size=work.vocab,
    hidden_size=work.d_model,
    intermediate_size=work.mlp_dim,
    num_hidden_layers=work.layers,
    num_attention_heads=work.heads,
    num_key_value_heads=work.kv_heads,
    max_position_embeddings=512,
    tie_word_embeddings=True,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=work.vocab,
  )
  transformers.Qwen2ForCausalLM(config).save_pretrained(path)


def prompts(work: rl_step_work.Work) -> datasets.Dataset:
  rng = np.random.default_rng(0)
  ids = rng.integers(0, 26, (work.prompts * work.steps, work.prompt_len))
  rows = [''.join(chr(ord('a') + i) for i in row) for row in ids]
  return datasets.Dataset.from_dict({'prompt': rows})


def settings(work: rl_step_work.Work, path: pathlib.Path) -> trl.GRPOConfig:
  return trl.GRPOConfig(
    output_dir=str(path),
    per_device_train_batch_size=work.rows,
    num_generations=work.group,
    max_completion_length=work.response_len,
    max_steps=work.steps,
    learning_rate=work.learning_rate,
    beta=work.kl_weight,
    temperature=1.0,
    top_p=1.0,
    top_k=0,
    gradient_accumulation_steps=1,
    num_iterations=1,
    logging_steps=1,
    report_to=[],
    save_strategy='no',
    use_cpu=True,
    bf16=False,
    fp16=False,
    gradient_checkpointing=False,
    dataloader_num_workers=0,
    disable_tqdm=True,
    use_vllm=False,
  )


def main() -> None:
  work = rl_step_work.work_from_argv()
  meter = rl_step_work.Meter()

  def reward(completions, completion_ids, **kwargs):
    del completions, kwargs
    rewards = [rl_step_work.reward(ids) for ids in completion_ids]
    meter.rewarded(completion_ids, rewards)
    return rewards

  with tempfile.TemporaryDirectory() as folder:
    policy = pathlib.Path(folder, 'policy')
    save_policy(work, policy)
    trainer = trl.GRPOTrainer(
      model=str(policy),
      reward_funcs=reward,
      args=settings(work, pathlib.Path(folder, 'out')),
      train_dataset=prompts(work),
      processing_class=tokenizer(work),
    )
    generate = trainer._generate_single_turn

    def timed(*args, **kwargs):
      with meter.rollout():
        return generate(*args, **kwargs)

    trainer._generate_single_turn = timed
    trainer.train()
  weights = trainer.model.parameters()
  rl_step_work.finish(all(bool(torch.isfinite(w).all()) for w in weights))


if __name__ == '__main__':
  main()
