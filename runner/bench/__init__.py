"""Several runtimes of one model in one process on one card, in turns: its assignment, its result's file, its table.

A bench is a quick look, not a measurement that tables or A/Bs use: sessions and A/Bs take a fresh process for each
runtime. The worker's side is `runner.worker.bench`; nothing here needs torch.
"""
