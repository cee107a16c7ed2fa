package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// wsDial opens a blocking TCP socket (raw fd, outside Go's netpoller) and performs the
// WebSocket opening handshake. No compression is offered; Sec-WebSocket-Accept is not checked.
func wsDial(u *url.URL, timeout time.Duration) (*blockConn, error) {
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip := net.ParseIP(host).To4()
	if ip == nil {
		return nil, fmt.Errorf("IPv4 address wanted, got %q", host)
	}
	var p int
	fmt.Sscanf(port, "%d", &p)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	tv := syscall.NsecToTimeval(int64(timeout))
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &tv)
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &tv)
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	sa := &syscall.SockaddrInet4{Port: p}
	copy(sa.Addr[:], ip)
	for {
		err = syscall.Connect(fd, sa)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil && err != syscall.EISCONN {
		syscall.Close(fd)
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &blockConn{fd: fd}
	c.br = bufio.NewReaderSize(c, 2048)
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", u.RequestURI(), u.Host)
	b.WriteString("\r\n")
	if err := c.writeAll([]byte(b.String())); err != nil {
		c.Close()
		return nil, err
	}
	line, err := c.br.ReadString('\n')
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if !strings.Contains(line, " 101") {
		c.Close()
		return nil, fmt.Errorf("handshake refused: %s", strings.TrimSpace(line))
	}
	for {
		l, err := c.br.ReadString('\n')
		if err != nil {
			c.Close()
			return nil, err
		}
		if l == "\r\n" {
			return c, nil
		}
	}
}

type blockConn struct {
	fd int
	br *bufio.Reader
}

func (c *blockConn) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(c.fd, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
}
func (c *blockConn) Close() { syscall.Close(c.fd) }
func (c *blockConn) writeAll(p []byte) error {
	for len(p) > 0 {
		n, err := syscall.Write(c.fd, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// clientFrame builds a masked client frame (all-zero masking key, so the payload is sent as is).
func clientFrame(op byte, payload []byte) []byte {
	var b bytes.Buffer
	b.WriteByte(0x80 | op)
	switch {
	case len(payload) < 126:
		b.WriteByte(0x80 | byte(len(payload)))
	case len(payload) < 65536:
		b.WriteByte(0x80 | 126)
		binary.Write(&b, binary.BigEndian, uint16(len(payload)))
	default:
		b.WriteByte(0x80 | 127)
		binary.Write(&b, binary.BigEndian, uint64(len(payload)))
	}
	b.Write([]byte{0, 0, 0, 0})
	b.Write(payload)
	return b.Bytes()
}

func (c *blockConn) sendText(s string) error { return c.writeAll(clientFrame(1, []byte(s))) }

var errNeedMore = errors.New("need more")

// parseFrame reads one server frame (unmasked) from b. Returns opcode, payload, bytes consumed.
func parseFrame(b []byte) (op byte, payload []byte, used int, ok bool) {
	if len(b) < 2 {
		return
	}
	op = b[0] & 0x0f
	n := int(b[1] & 0x7f)
	h := 2
	switch n {
	case 126:
		if len(b) < 4 {
			return
		}
		n = int(binary.BigEndian.Uint16(b[2:]))
		h = 4
	case 127:
		if len(b) < 10 {
			return
		}
		n = int(binary.BigEndian.Uint64(b[2:]))
		h = 10
	}
	if len(b) < h+n {
		return
	}
	return op, b[h : h+n], h + n, true
}

// readFrame is the blocking variant used in handshakes and in recover mode.
func (c *blockConn) readFrame() (op byte, payload []byte, err error) {
	var h [10]byte
	if _, err = io.ReadFull(c.br, h[:2]); err != nil {
		return
	}
	op = h[0] & 0x0f
	n := uint64(h[1] & 0x7f)
	switch n {
	case 126:
		if _, err = io.ReadFull(c.br, h[2:4]); err != nil {
			return
		}
		n = uint64(binary.BigEndian.Uint16(h[2:4]))
	case 127:
		if _, err = io.ReadFull(c.br, h[2:10]); err != nil {
			return
		}
		n = binary.BigEndian.Uint64(h[2:10])
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.br, payload)
	return
}

// readText returns the next text frame, answering protocol pings on the way.
func (c *blockConn) readText() ([]byte, error) {
	for {
		op, p, err := c.readFrame()
		if err != nil {
			return nil, err
		}
		switch op {
		case 1, 2:
			return p, nil
		case 9:
			c.writeAll(clientFrame(10, p))
		case 8:
			return nil, fmt.Errorf("server closed: %q", p)
		}
	}
}
