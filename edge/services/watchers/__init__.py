"""Who watches tasks: channels, what they have been told, and how a task looks to them."""
