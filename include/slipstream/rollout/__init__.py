"""How a version takes over: one attempt, its steps, what is watched and which alarms take it back."""
