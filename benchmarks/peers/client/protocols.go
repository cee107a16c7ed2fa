package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// A Protocol says how to open a subscription, how to answer application pings and how a
// message is published over HTTP. Deliveries are counted by the markers in the payload, so a
// server may wrap a message, or put several in a frame.
type Protocol interface {
	URL() *url.URL
	// Subscribe runs the opening exchange; st carries recovery state in and out (nil: none).
	Subscribe(c *blockConn, i int, channel string, st *recState) error
	// AppPing returns the reply to an application-level ping, or nil when there is none in p.
	AppPing(p []byte) []byte
	PublishBody(channel string, msg []byte) []byte
}

type recState struct {
	resume    bool // in: ask for recovery
	recovered string
	positions map[string]int64 // raw: partition -> the last offset seen
	pid, soff string
	early     [][]byte // frames with messages that came within the subscribe exchange
}

func jwt(secret, sub string) string {
	e := base64.RawURLEncoding
	h := e.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))
	p := e.EncodeToString([]byte(fmt.Sprintf(`{"sub":"%s","exp":%d}`, sub, time.Now().Add(time.Hour).Unix())))
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(h + "." + p))
	return h + "." + p + "." + e.EncodeToString(m.Sum(nil))
}

func newProtocol(name string) (Protocol, error) {
	switch name {
	case "raw":
		return newRaw()
	case "socketio":
		return &sioProto{}, nil
	}
	return nil, fmt.Errorf("unknown protocol %q", name)
}

func address(def string) *url.URL {
	s := *flURL
	if s == "" {
		s = def
	}
	u, err := url.Parse(s)
	if err != nil {
		fatal("url: %v", err)
	}
	return u
}

// ---- raw: a websocket with JSON in text frames

type rawProto struct{ tokens []string }

func newRaw() (Protocol, error) {
	r := &rawProto{}
	if *flTokens != "" {
		b, err := os.ReadFile(*flTokens)
		if err != nil {
			return nil, err
		}
		r.tokens = strings.Fields(string(b))
	}
	if len(flFirst) != len(flAwait) {
		return nil, fmt.Errorf("each -first needs an -await")
	}
	return r, nil
}

func (*rawProto) URL() *url.URL { return address("ws://127.0.0.1:18200/") }

func (r *rawProto) Subscribe(c *blockConn, i int, channel string, st *recState) error {
	firsts, awaits := []string(flFirst), []string(flAwait)
	if st != nil && st.resume && *flResumeFirst != "" {
		firsts, awaits = []string{*flResumeFirst}, awaits[:1]
	}
	for k, first := range firsts {
		if err := c.sendText(r.expand(first, i, channel, st)); err != nil {
			return err
		}
		if err := awaitText(c, awaits[k], st); err != nil {
			return err
		}
	}
	return nil
}

func (r *rawProto) expand(s string, i int, channel string, st *recState) string {
	if len(r.tokens) > 0 {
		s = strings.ReplaceAll(s, "{token}", r.tokens[i%len(r.tokens)])
	}
	if st != nil {
		b, _ := json.Marshal(st.positions)
		s = strings.ReplaceAll(s, "{since}", string(b))
	}
	return strings.ReplaceAll(s, "{channel}", channel)
}

// awaitText reads frames up to the one that contains what is awaited.
func awaitText(c *blockConn, awaited string, st *recState) error {
	for {
		p, err := c.readText()
		if err != nil {
			return err
		}
		if st != nil {
			st.follow(p)
			if bytes.Contains(p, markNS) {
				st.early = append(st.early, p)
			}
		}
		if bytes.Contains(p, []byte(awaited)) {
			return nil
		}
		if bytes.Contains(p, []byte(`"type":"error"`)) {
			return fmt.Errorf("refused: %.200s", p)
		}
	}
}

// follow takes over the positions that a frame tells, of a reply or of updates.
func (st *recState) follow(p []byte) {
	if st.positions == nil {
		st.positions = map[string]int64{}
	}
	reply, one := []byte(`"positions":`), []byte(`"position":"`)
	if j := bytes.Index(p, reply); j >= 0 {
		told := map[string]int64{}
		if json.NewDecoder(bytes.NewReader(p[j+len(reply):])).Decode(&told) == nil {
			for partition, offset := range told {
				st.positions[partition] = max(offset, st.positions[partition])
			}
		}
	}
	for j := bytes.Index(p, one); j >= 0; j = bytes.Index(p, one) {
		p = p[j+len(one):]
		if partition, _, ok := bytes.Cut(p[:min(len(p), 24)], []byte(":")); ok {
			st.positions[string(partition)] = max(num(p, len(partition)), st.positions[string(partition)])
		}
	}
}

func (*rawProto) AppPing(p []byte) []byte {
	// In an array of messages it may be one of them.
	if *flPing != "" && len(p) > 0 && (p[0] == '[' || len(p) <= len(*flPing)) && bytes.Contains(p, []byte(*flPing)) {
		return []byte(*flPong)
	}
	return nil
}
func (*rawProto) PublishBody(channel string, msg []byte) []byte { return msg }

// ---- Socket.IO v4 (Engine.IO protocol 4) spoken directly over websocket

type sioProto struct{}

func (*sioProto) URL() *url.URL {
	return address("ws://127.0.0.1:18100/socket.io/?EIO=4&transport=websocket")
}
func (*sioProto) Subscribe(c *blockConn, i int, channel string, st *recState) error {
	p, err := c.readText()
	if err != nil {
		return err
	}
	if len(p) == 0 || p[0] != '0' {
		return fmt.Errorf("engine.io open expected, got %.80q", p)
	}
	auth := map[string]string{}
	if *flJWT != "" {
		auth["token"] = jwt(*flJWT, fmt.Sprintf("u%d", i))
	}
	if st != nil && st.resume {
		auth["pid"], auth["offset"] = st.pid, st.soff
	}
	hello := "40"
	if len(auth) > 0 {
		b, _ := json.Marshal(auth)
		hello += string(b)
	}
	if err := c.sendText(hello); err != nil {
		return err
	}
	for {
		if p, err = c.readText(); err != nil {
			return err
		}
		// On recovery the missed packets come BEFORE the CONNECT reply.
		if st != nil && bytes.HasPrefix(p, []byte("42")) {
			st.early = append(st.early, p)
			continue
		}
		break
	}
	if !bytes.HasPrefix(p, []byte("40")) {
		return fmt.Errorf("socket.io connect refused: %.120q", p)
	}
	if st != nil {
		var r struct{ Pid string }
		json.Unmarshal(p[2:], &r)
		if st.resume {
			st.recovered = fmt.Sprint(r.Pid == st.pid && r.Pid != "")
			if r.Pid == st.pid && r.Pid != "" {
				return nil // rooms are restored by the server
			}
		}
		st.pid = r.Pid
	}
	if err := c.sendText(`420["subscribe:task",` + quote(channel) + `]`); err != nil {
		return err
	}
	for {
		p, err = c.readText()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(p, []byte("430")) {
			return nil
		}
		if st != nil && bytes.Contains(p, markNS) {
			st.early = append(st.early, p)
		}
	}
}
func (*sioProto) AppPing(p []byte) []byte {
	if len(p) == 1 && p[0] == '2' {
		return []byte("3")
	}
	return nil
}
func (*sioProto) PublishBody(channel string, msg []byte) []byte {
	return []byte(`{"task":` + quote(channel) + `,"data":` + string(msg) + `}`)
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }
