module peerload

go 1.21
