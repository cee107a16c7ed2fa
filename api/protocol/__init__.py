"""The protocol of sockets: messages, frames, close codes."""
