"""The edge: HTTP, WebSockets, authentication and the relay of updates."""
