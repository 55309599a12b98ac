"""An exported student on another task: settings are searched, the best one is trained, measured and exported."""
