package main

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"time"
)

// hist: log-linear histogram of nanoseconds, about 1.6 % resolution.
type hist struct {
	b        [64 * 64]uint64
	n        uint64
	max, sum int64
}

func hidx(v int64) int {
	if v < 64 {
		if v < 0 {
			v = 0
		}
		return int(v)
	}
	e := bits.Len64(uint64(v)) - 7
	return (e+1)*64 + int(uint64(v)>>uint(e)) - 64
}
func hval(i int) int64 {
	if i < 64 {
		return int64(i)
	}
	e := i/64 - 1
	return int64(uint64(i%64+64)<<uint(e)) + int64(uint64(1)<<uint(e))/2
}
func (h *hist) add(v int64) {
	h.b[hidx(v)]++
	h.n++
	h.sum += v
	if v > h.max {
		h.max = v
	}
}
func (h *hist) merge(o *hist) {
	for i, x := range o.b {
		h.b[i] += x
	}
	h.n += o.n
	h.sum += o.sum
	if o.max > h.max {
		h.max = o.max
	}
}
func (h *hist) q(p float64) float64 { // milliseconds
	if h.n == 0 {
		return -1
	}
	t := uint64(p * float64(h.n))
	if t >= h.n {
		t = h.n - 1
	}
	var c uint64
	for i, x := range h.b {
		c += x
		if c > t {
			v := hval(i)
			if v > h.max {
				v = h.max
			}
			return float64(v) / 1e6
		}
	}
	return float64(h.max) / 1e6
}

// procCPU returns utime+stime in seconds (USER_HZ=100).
func procCPU(pid int) float64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+2:])
	var u, k int64
	fmt.Sscan(f[11], &u)
	fmt.Sscan(f[12], &k)
	return float64(u+k) / 100
}

// besideCPU returns the CPU time of what the server needs beside it, the publisher's process included.
func besideCPU(pub publisher) (t float64) {
	for _, s := range strings.Split(*flBeside, ",") {
		pid, _ := strconv.Atoi(s)
		t += procCPU(pid)
	}
	if pub != nil {
		t += procCPU(pub.pid())
	}
	return t
}

// A usage is what the processors were used for, from its beginning on.
type usage struct {
	since                        time.Time
	server, client, beside, busy float64
}

func usageNow(pub publisher) usage {
	busy, _ := sysCPU()
	return usage{time.Now(), procCPU(*flPid), procCPU(os.Getpid()), besideCPU(pub), busy}
}

// cores returns the cores used by what belongs to the server, and by what belongs to nobody here.
func (u usage) cores(pub publisher) (beside, other float64) {
	v := usageNow(pub)
	el := v.since.Sub(u.since).Seconds()
	beside = v.beside - u.beside
	return beside / el, (v.busy - u.busy - beside - (v.server - u.server) - (v.client - u.client)) / el
}

// procRSS returns VmRSS in KiB.
func procRSS(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "VmRSS:") {
			var v int64
			fmt.Sscan(strings.TrimPrefix(l, "VmRSS:"), &v)
			return v
		}
	}
	return 0
}

// sysCPU returns machine-wide busy and steal seconds (all cores).
func sysCPU() (busy, steal float64) {
	b, _ := os.ReadFile("/proc/stat")
	var us, ni, sy, id, io, ir, si, st float64
	fmt.Sscanf(string(b), "cpu %f %f %f %f %f %f %f %f", &us, &ni, &sy, &id, &io, &ir, &si, &st)
	return (us + ni + sy + ir + si) / 100, st / 100
}

func r3(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }

func fatal(f string, a ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+f+"\n", a...)
	os.Exit(1)
}
func logf(f string, a ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+f+"\n", a...)
}
