"""What people run: train, evaluate, export, demo, inspect, the environments behind them, and the command line."""
