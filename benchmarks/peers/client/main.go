// peerload: open-loop fan-out load client for real-time relay servers. See README.md.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

type multi []string

func (m *multi) String() string     { return strings.Join(*m, ",") }
func (m *multi) Set(s string) error { *m = append(*m, s); return nil }

var (
	flMode        = flag.String("mode", "fixed", "fixed | ramp | connect | recover")
	flProto       = flag.String("proto", "raw", "raw | socketio")
	flURL         = flag.String("url", "", "websocket URL")
	flChannel     = flag.String("channel", "t1", "channel / task id")
	flFirst       multi // raw: the first text messages; {token} {channel} are expanded
	flAwait       multi // raw: for each of them, what a frame contains that answers it
	flResumeFirst = flag.String("resume-first", "", "raw, recover mode: the first message on reconnect, alone ({since} is expanded too)")
	flPing        = flag.String("ping", "", "raw: application ping text")
	flPong        = flag.String("pong", "", "raw: reply to it")
	flTokens      = flag.String("tokens", "", "raw: file with tokens, one per line; connection i uses line i modulo their number")
	flJWT         = flag.String("jwt", "", "socketio: HS256 secret; a token with sub=u{i} is sent")
	flPub         = flag.String("pub", "", "http:URL | exec:COMMAND")
	flTemplate    = flag.String("template", "", "message template with {seq} {ns} {pad}; needs sent_seq then sent_ns")
	flSize        = flag.Int("size", 300, "message size, bytes")
	flN           = flag.Int("n", 200, "subscribers")
	flRate        = flag.Float64("rate", 10, "messages/s (ramp: the first step)")
	flGrow        = flag.Float64("grow", 1.5, "ramp: factor between steps")
	flDur         = flag.Duration("dur", 10*time.Second, "measured time (fixed), or per step (ramp)")
	flWarm        = flag.Duration("warm", 2*time.Second, "discarded time before it (ramp: half a second)")
	flDrain       = flag.Duration("drain", 5*time.Second, "longest wait for outstanding deliveries")
	flSLO         = flag.Float64("slo", 250, "ramp: stop when p99 exceeds this, ms")
	flBisect      = flag.Int("bisect", 2, "ramp: extra steps between the last pass and the first failure")
	flMax         = flag.Duration("max", 58*time.Second, "bound of the whole run")
	flPid         = flag.Int("pid", 0, "server pid, for CPU and RSS")
	flBeside      = flag.String("beside", "", "pids of what the server needs beside it, comma separated: their CPU is told apart")
	flWorkers     = flag.Int("workers", 32, "concurrent connectors")
	flThreads     = flag.Int("threads", 1, "epoll threads")
	flMissed      = flag.Int("missed", 1000, "recover: messages published while away")
	flLabel       = flag.String("label", "", "free text copied to the output")
	flSettle      = flag.Duration("settle", time.Second, "wait between the last connect and the first publish")
)

var (
	markSeq = []byte("sent_seq")
	markNS  = []byte("sent_ns")
)

type econn struct {
	fd      int
	idx     int
	last    int64 // last sent_seq seen
	pending []byte
}

type reader struct {
	mu     sync.Mutex
	ep     int
	done   bool
	conns  []*econn
	lat    hist
	lo     int64        // first measured seq
	hi     int64        // one past the last measured seq
	got    atomic.Int64 // measured deliveries
	all    atomic.Int64 // every delivery
	gaps   int64
	back   int64 // duplicates or out of order
	dead   int64
	closes int64
}

func num(b []byte, from int) int64 {
	i := from
	for i < len(b) && (b[i] < '0' || b[i] > '9') {
		i++
	}
	var v int64
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		v = v*10 + int64(b[i]-'0')
		i++
	}
	return v
}

// scan counts the messages in one text payload.
func (r *reader) scan(c *econn, p []byte, now int64) {
	for {
		i := bytes.Index(p, markSeq)
		if i < 0 {
			return
		}
		seq := num(p, i+len(markSeq))
		p = p[i+len(markSeq):]
		j := bytes.Index(p, markNS)
		if j < 0 {
			return
		}
		ns := num(p, j+len(markNS))
		p = p[j+len(markNS):]
		r.all.Add(1)
		if c.last != 0 {
			if seq <= c.last {
				r.back++
			} else if seq != c.last+1 {
				r.gaps += seq - c.last - 1
			}
		}
		if seq > c.last {
			c.last = seq
		}
		if seq >= r.lo && seq < r.hi {
			r.got.Add(1)
			r.lat.add(now - ns)
		}
	}
}

func (r *reader) run(proto Protocol, byfd []*econn) {
	runtime.LockOSThread()
	evs := make([]syscall.EpollEvent, 512)
	scratch := make([]byte, 256<<10)
	for {
		n, err := syscall.EpollWait(r.ep, evs, 200)
		if err != nil && err != syscall.EINTR {
			fatal("epoll: %v", err)
		}
		r.mu.Lock()
		if r.done { // its numbers may be those of new connections by now
			r.mu.Unlock()
			syscall.Close(r.ep)
			return
		}
		for k := 0; k < n; k++ {
			c := byfd[evs[k].Fd]
			if c == nil {
				continue
			}
			pre := copy(scratch, c.pending)
			m, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&scratch[pre])), uintptr(len(scratch)-pre))
			if e == syscall.EAGAIN || e == syscall.EINTR {
				continue
			}
			if e != 0 || m == 0 {
				r.dead++
				syscall.EpollCtl(r.ep, syscall.EPOLL_CTL_DEL, c.fd, nil)
				continue
			}
			now := time.Now().UnixNano()
			b := scratch[:pre+int(m)]
			for {
				op, p, used, ok := parseFrame(b)
				if !ok {
					break
				}
				b = b[used:]
				switch op {
				case 9:
					syscall.Write(c.fd, clientFrame(10, p))
				case 8: // counted once, when the read returns 0 or an error
					if r.closes++; r.closes <= 2 && len(p) >= 2 {
						logf("server closed connection %d: %d %s", c.idx, int(p[0])<<8|int(p[1]), p[2:])
					}
				default:
					// looked for in every frame: a server may batch a ping with messages
					if a := proto.AppPing(p); a != nil {
						syscall.Write(c.fd, clientFrame(1, a))
					}
					r.scan(c, p, now)
				}
			}
			c.pending = append(c.pending[:0], b...)
		}
		r.mu.Unlock()
	}
}

type out map[string]any

func emit(o out) {
	o["t"] = time.Now().Format(time.RFC3339)
	o["label"], o["mode"], o["proto"], o["n"] = *flLabel, *flMode, *flProto, *flN
	b, _ := json.Marshal(o)
	fmt.Println(string(b))
}

func main() {
	flag.Var(&flFirst, "first", "raw: a first text message after the handshake; {token} {channel} are expanded (repeatable)")
	flag.Var(&flAwait, "await", "raw: what a frame contains that answers the first message of the same place (repeatable)")
	flag.Parse()
	if runtime.GOMAXPROCS(0) < 4 {
		runtime.GOMAXPROCS(4) // the epoll thread must not hold up the publisher
	}
	var rl syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rl)
	rl.Cur = rl.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &rl)
	time.AfterFunc(*flMax+20*time.Second, func() { fatal("run exceeded its bound") })
	proto, err := newProtocol(*flProto)
	if err != nil {
		fatal("%v", err)
	}
	if *flMode == "recover" {
		recoverMode(proto)
		return
	}
	rs, byfd := connectAll(proto)
	for _, r := range rs {
		go r.run(proto, byfd)
	}
	if *flMode == "connect" {
		return
	}
	time.Sleep(*flSettle)
	pub, err := newPublisher(proto, *flChannel)
	if err != nil {
		fatal("publisher: %v", err)
	}
	s := &session{proto: proto, rs: rs, pub: pub, start: time.Now(), seq: 1}
	switch *flMode {
	case "fixed":
		emit(s.step(*flRate, *flWarm, *flDur))
	case "ramp":
		s.ramp()
	}
	pub.close()
}

func connectAll(proto Protocol) ([]*reader, []*econn) {
	rss0, cpu0, used := procRSS(*flPid), procCPU(*flPid), usageNow(nil)
	conns := make([]*econn, *flN)
	var h hist
	var hm sync.Mutex
	var next, fails atomic.Int64
	var wg sync.WaitGroup
	t0 := time.Now()
	for w := 0; w < *flWorkers; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= *flN {
					return
				}
				t := time.Now()
				c, err := wsDial(proto.URL(), 15*time.Second)
				if err == nil {
					err = proto.Subscribe(c, i, *flChannel, nil)
				}
				if err != nil {
					if fails.Add(1) <= 3 {
						logf("connect %d: %v", i, err)
					}
					continue
				}
				d := time.Since(t)
				hm.Lock()
				h.add(int64(d))
				hm.Unlock()
				rest, _ := c.br.Peek(c.br.Buffered())
				conns[i] = &econn{fd: c.fd, idx: i, pending: append([]byte(nil), rest...)}
			}
		}()
	}
	wg.Wait()
	el := time.Since(t0)
	beside, other := used.cores(nil)
	if fails.Load() > 0 {
		logf("%d of %d connections failed", fails.Load(), *flN)
	}
	if *flMode == "connect" {
		time.Sleep(1500 * time.Millisecond) // let a server without a subscription ack finish
	}
	cpu1 := procCPU(*flPid)
	rss1 := procRSS(*flPid)
	ok := float64(*flN) - float64(fails.Load())
	if *flMode == "connect" {
		o := out{"conn_per_s": r3(ok / el.Seconds()), "seconds": r3(el.Seconds()), "failed": fails.Load(), "workers": *flWorkers,
			"p50_ms": r3(h.q(.5)), "p99_ms": r3(h.q(.99)), "max_ms": r3(float64(h.max) / 1e6),
			"srv_cpu_ms_per_conn": r3((cpu1 - cpu0) * 1000 / ok), "rss0_mib": r3(float64(rss0) / 1024), "rss1_mib": r3(float64(rss1) / 1024),
			"rss_kib_per_conn": r3(float64(rss1-rss0) / ok), "beside_cores": r3(beside), "other_cores": r3(other)}
		emit(o)
	}
	maxfd := 0
	for _, c := range conns {
		if c != nil && c.fd > maxfd {
			maxfd = c.fd
		}
	}
	byfd := make([]*econn, maxfd+1)
	rs := make([]*reader, *flThreads)
	for k := range rs {
		ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			fatal("epoll: %v", err)
		}
		rs[k] = &reader{ep: ep}
	}
	for i, c := range conns {
		if c == nil {
			continue
		}
		r := rs[i%len(rs)]
		r.conns = append(r.conns, c)
		byfd[c.fd] = c
		syscall.SetNonblock(c.fd, true)
		ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
		if err := syscall.EpollCtl(r.ep, syscall.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
			fatal("epoll_ctl: %v", err)
		}
	}
	return rs, byfd
}

type session struct {
	proto Protocol
	rs    []*reader
	pub   publisher
	start time.Time
	seq   int64 // next sequence number
}

func (s *session) sum(f func(*reader) int64) (t int64) {
	for _, r := range s.rs {
		t += f(r)
	}
	return
}

// step publishes at `rate` on a fixed schedule. The stamp in a message is its SCHEDULED time,
// so a publisher held up by the server shows as latency (no coordinated omission).
func (s *session) step(rate float64, warm, dur time.Duration) out {
	nw, nm := int64(rate*warm.Seconds()+.5), int64(rate*dur.Seconds()+.5)
	if nm < 1 {
		nm = 1
	}
	lo, hi := s.seq+nw, s.seq+nw+nm
	live := s.sum(func(r *reader) int64 { return int64(len(r.conns)) - r.dead })
	for _, r := range s.rs {
		r.mu.Lock()
		r.lat = hist{}
		r.lo, r.hi = lo, hi
		r.got.Store(0)
		r.gaps, r.back = 0, 0
		r.mu.Unlock()
	}
	all := func() int64 { return s.sum(func(r *reader) int64 { return r.all.Load() }) }
	got := func() int64 { return s.sum(func(r *reader) int64 { return r.got.Load() }) }
	var lag, ack hist
	var cpu0, cli0, beside0, busy0, steal0 float64
	var all0 int64
	var tm time.Time
	iv := float64(time.Second) / rate
	t0 := time.Now().Add(5 * time.Millisecond)
	stop := t0.Add(warm + dur + 2*time.Second)
	var sent int64
	errs := 0
	for k := int64(0); k < nw+nm; k++ {
		at := t0.Add(time.Duration(float64(k) * iv))
		if d := time.Until(at); d > 0 {
			time.Sleep(d)
		}
		if time.Now().After(stop) {
			break
		}
		if k == nw {
			tm = time.Now()
			cpu0, cli0, all0 = procCPU(*flPid), procCPU(os.Getpid()), all()
			beside0 = besideCPU(s.pub)
			busy0, steal0 = sysCPU()
		}
		if k >= nw {
			lag.add(int64(time.Since(at)))
		}
		a := time.Now()
		if err := s.pub.publish(makeMsg(s.seq, at.UnixNano())); err != nil {
			errs++
			if errs == 1 {
				logf("publish: %v", err)
			}
			break
		}
		if k >= nw {
			ack.add(int64(time.Since(a)))
			sent++
		}
		s.seq++
	}
	want := sent * live
	end := time.Now()
	for time.Since(end) < *flDrain && got() < want {
		time.Sleep(2 * time.Millisecond)
	}
	el := time.Since(tm).Seconds()
	cpu1, cli1, all1 := procCPU(*flPid), procCPU(os.Getpid()), all()
	beside := besideCPU(s.pub) - beside0
	busy1, steal1 := sysCPU()
	var h hist
	var gaps, back, dead int64
	for _, r := range s.rs {
		r.mu.Lock()
		h.merge(&r.lat)
		gaps, back, dead = gaps+r.gaps, back+r.back, dead+r.dead
		r.mu.Unlock()
	}
	s.seq = hi // a seq gap between steps is not loss
	for _, r := range s.rs {
		r.mu.Lock()
		for _, c := range r.conns {
			c.last = 0
		}
		r.mu.Unlock()
	}
	n := float64(all1 - all0)
	cpu, cli := cpu1-cpu0, cli1-cli0
	return out{"rate": rate, "size": len(makeMsg(s.seq, time.Now().UnixNano())), "offered": nm, "sent": sent, "want": want, "got": h.n, "lost": want - int64(h.n),
		"gaps": gaps, "reordered_or_dup": back, "dead": dead, "pub_errors": errs,
		"deliv_per_s": int64(n/el + .5), "p50_ms": r3(h.q(.5)), "p90_ms": r3(h.q(.9)), "p99_ms": r3(h.q(.99)), "p999_ms": r3(h.q(.999)), "max_ms": r3(float64(h.max) / 1e6),
		"pub_lag_p99_ms": r3(lag.q(.99)), "pub_ack_p50_ms": r3(ack.q(.5)), "pub_ack_p99_ms": r3(ack.q(.99)),
		"seconds": r3(el), "srv_cpu_s": r3(cpu), "srv_cores": r3(cpu / el), "srv_cpu_s_per_M": r3(cpu / n * 1e6),
		"cli_cores": r3(cli / el), "cli_cpu_s_per_M": r3(cli / n * 1e6), "beside_cores": r3(beside / el),
		"other_cores": r3((busy1 - busy0 - cpu - cli - beside) / el), "steal_cores": r3((steal1 - steal0) / el),
		"rss_mib": r3(float64(procRSS(*flPid)) / 1024)}
}

// settle waits (at most 10 s) until no delivery has come in for 400 ms.
func (s *session) settle() {
	for t, prev := time.Now(), int64(-1); time.Since(t) < 10*time.Second; {
		v := s.sum(func(r *reader) int64 { return r.all.Load() })
		if v == prev {
			return
		}
		prev = v
		time.Sleep(400 * time.Millisecond)
	}
}

// reconnect opens all connections anew, when the server has closed some of them.
func (s *session) reconnect() {
	for _, r := range s.rs {
		r.mu.Lock()
		r.done = true
		for _, c := range r.conns {
			syscall.Close(c.fd)
		}
		r.mu.Unlock()
	}
	rs, byfd := connectAll(s.proto)
	s.rs = rs
	for _, r := range rs {
		go r.run(s.proto, byfd)
	}
	time.Sleep(*flSettle)
}

func (s *session) ramp() {
	rate, lastOK, firstBad := *flRate, 0.0, 0.0
	bis := *flBisect
	var best out
	for {
		left := *flMax - time.Since(s.start)
		if left < *flDur+3*time.Second {
			logf("time bound reached")
			break
		}
		o := s.step(rate, 500*time.Millisecond, *flDur)
		ok := o["lost"].(int64) == 0 && o["p99_ms"].(float64) <= *flSLO && o["sent"] == o["offered"] && o["dead"].(int64) == 0
		o["pass"] = ok
		emit(o)
		if ok {
			lastOK, best = rate, o
		} else {
			firstBad = rate
			s.settle()
		}
		if o["pub_errors"].(int) > 0 {
			break
		}
		if o["dead"].(int64) > 0 {
			s.reconnect()
		}
		if firstBad == 0 {
			rate *= *flGrow
			continue
		}
		if bis == 0 {
			break
		}
		bis--
		if lastOK == 0 {
			rate /= 2
		} else {
			rate = (lastOK + firstBad) / 2
		}
	}
	if best != nil {
		emit(out{"summary": true, "max_rate": r3(lastOK), "max_deliv_per_s": best["deliv_per_s"], "at_p99_ms": best["p99_ms"], "first_bad_rate": r3(firstBad), "srv_cpu_s_per_M": best["srv_cpu_s_per_M"], "srv_cores": best["srv_cores"], "cli_cores": best["cli_cores"]})
	}
}
