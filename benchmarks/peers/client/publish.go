package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

// makeMsg renders one message. The template's {seq}, {ns} and {pad} are replaced; with no
// template a task event of *flSize bytes is made. The markers "sent_seq" and "sent_ns" must be
// in it, in that order, each followed by its number.
func makeMsg(seq int64, ns int64) []byte {
	t := *flTemplate
	if t == "" {
		t = `{"sent_seq":{seq},"sent_ns":{ns},"event_type":"task.updated","task_id":"b7d0c9de-7c0f-4f0e-9a41-0d8a1c2e4f55","user_id":"42","status":"in_progress","title":"{pad}"}`
	}
	s := strings.NewReplacer("{seq}", fmt.Sprint(seq), "{ns}", fmt.Sprint(ns)).Replace(t)
	if strings.Contains(s, "{pad}") {
		n := *flSize - (len(s) - len("{pad}"))
		if n < 0 {
			n = 0
		}
		s = strings.Replace(s, "{pad}", strings.Repeat("x", n), 1)
	}
	return []byte(s)
}

// A publisher hands one message over; it returns once the message is acknowledged (http), or
// in the pipe (exec).
type publisher interface {
	publish(msg []byte) error
	pid() int // of a process of its own, or 0
	close()
}

func newPublisher(p Protocol, channel string) (publisher, error) {
	k, arg, _ := strings.Cut(*flPub, ":")
	switch k {
	case "http":
		u, err := url.Parse(arg)
		if err != nil {
			return nil, err
		}
		c, err := net.Dial("tcp", u.Host)
		if err != nil {
			return nil, err
		}
		return &httpPub{c: c, br: bufio.NewReader(c), u: u, p: p, ch: channel}, nil
	case "exec":
		return newExec(arg)
	}
	return nil, fmt.Errorf("-pub http:URL | exec:COMMAND")
}

type httpPub struct {
	c   net.Conn
	br  *bufio.Reader
	u   *url.URL
	p   Protocol
	ch  string
	buf bytes.Buffer
}

func (h *httpPub) publish(msg []byte) error {
	body := h.p.PublishBody(h.ch, msg)
	h.buf.Reset()
	fmt.Fprintf(&h.buf, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", h.u.RequestURI(), h.u.Host, len(body))
	h.buf.Write(body)
	h.c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := h.c.Write(h.buf.Bytes()); err != nil {
		return err
	}
	r, err := http.ReadResponse(h.br, nil)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r.Body)
	if err == nil && (r.StatusCode >= 300 || bytes.Contains(b, []byte(`"error"`))) {
		err = fmt.Errorf("publish: %d %.200s", r.StatusCode, b)
	}
	return err
}
func (h *httpPub) pid() int { return 0 }
func (h *httpPub) close()   { h.c.Close() }

// execPub is a command that reads one message per line, after it has said a line itself: that it is ready.
type execPub struct {
	w   io.WriteCloser
	cmd *exec.Cmd
}

func newExec(command string) (publisher, error) {
	cmd := exec.Command("sh", "-c", "exec "+command)
	cmd.Stderr = os.Stderr
	w, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the command never got ready: %w", err)
	}
	return &execPub{w: w, cmd: cmd}, nil
}

func (e *execPub) publish(msg []byte) error {
	_, err := e.w.Write(append(msg, '\n'))
	return err
}
func (e *execPub) pid() int { return e.cmd.Process.Pid }
func (e *execPub) close()   { e.w.Close(); e.cmd.Wait() }
