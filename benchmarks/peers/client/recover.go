package main

import (
	"bytes"
	"sort"
	"sync"
	"time"
)

// recoverMode: K=-n subscribers open, see one message, lose their TCP connection, miss -missed
// messages, come back at once asking for recovery. Counts what they get and how long it takes.
// One more stays and sees to it that all messages have come through before they come back.
func recoverMode(proto Protocol) {
	pub, err := newPublisher(proto, *flChannel)
	if err != nil {
		fatal("publisher: %v", err)
	}
	k := *flN
	type cl struct {
		c    *blockConn
		st   recState
		last int64
		got  int
		bad  int
		ms   float64
		err  string
	}
	cs := make([]*cl, k+1) // the last one stays
	each := func(f func(i int, c *cl)) {
		var wg sync.WaitGroup
		sem := make(chan struct{}, *flWorkers)
		for i := range cs {
			wg.Add(1)
			sem <- struct{}{}
			go func(i int) { defer wg.Done(); f(i, cs[i]); <-sem }(i)
		}
		wg.Wait()
	}
	each(func(i int, _ *cl) {
		c := &cl{}
		cs[i] = c
		var err error
		if c.c, err = wsDial(proto.URL(), 20*time.Second); err == nil {
			err = proto.Subscribe(c.c, i, *flChannel, &c.st)
		}
		if err != nil {
			fatal("open %d: %v", i, err)
		}
	})
	time.Sleep(*flSettle)
	seq := time.Now().Unix() * 1000000
	base := seq
	if err := pub.publish(makeMsg(seq, time.Now().UnixNano())); err != nil {
		fatal("publish: %v", err)
	}
	each(func(i int, c *cl) {
		for c.last != base {
			p, err := c.c.readText()
			if err != nil {
				fatal("first message %d: %v", i, err)
			}
			if a := proto.AppPing(p); a != nil {
				c.c.sendText(string(a))
			}
			if j := bytes.Index(p, markSeq); j >= 0 {
				c.last = num(p, j+len(markSeq))
				c.st.follow(p)
				if *flProto == "socketio" { // the offset is the last argument of the event
					if j := bytes.LastIndex(p, []byte(`,"`)); j >= 0 && bytes.HasSuffix(p, []byte(`"]`)) {
						c.st.soff = string(p[j+2 : len(p)-2])
					}
				}
			}
		}
		if i < k {
			c.c.Close()
		}
	})
	witness := cs[k]
	cs = cs[:k]
	time.Sleep(300 * time.Millisecond)
	cpuP := procCPU(*flPid)
	tp := time.Now()
	for m := 0; m < *flMissed; m++ {
		seq++
		if err := pub.publish(makeMsg(seq, time.Now().UnixNano())); err != nil {
			fatal("publish: %v", err)
		}
	}
	for last := base; last != seq; {
		p, err := witness.c.readText()
		if err != nil {
			fatal("the one that stayed: %v", err)
		}
		if a := proto.AppPing(p); a != nil {
			witness.c.sendText(string(a))
		}
		if j := bytes.LastIndex(p, markSeq); j >= 0 {
			last = num(p, j+len(markSeq))
		}
	}
	pubS := time.Since(tp).Seconds()
	time.Sleep(300 * time.Millisecond)
	rss0, cpu0, used := procRSS(*flPid), procCPU(*flPid), usageNow(pub)
	t0 := time.Now()
	each(func(i int, c *cl) {
		t := time.Now()
		var err error
		c.st.resume, c.st.early = true, nil
		if c.c, err = wsDial(proto.URL(), 5*time.Second); err == nil {
			err = proto.Subscribe(c.c, i, *flChannel, &c.st)
		}
		if err != nil {
			c.err = err.Error()
			return
		}
		count := func(p []byte) {
			for {
				j := bytes.Index(p, markSeq)
				if j < 0 {
					return
				}
				v := num(p, j+len(markSeq))
				p = p[j+len(markSeq):]
				if v == c.last+1 {
					c.last = v
					c.got++
					c.ms = float64(time.Since(t).Nanoseconds()) / 1e6
				} else {
					c.bad++
				}
			}
		}
		for _, p := range c.st.early {
			count(p)
		}
		for c.got < *flMissed {
			p, err := c.c.readText() // 5 s without a frame: give up
			if err != nil {
				break
			}
			if a := proto.AppPing(p); a != nil {
				c.c.sendText(string(a))
				if c.got == 0 && time.Since(t) > 6*time.Second {
					break
				}
			}
			count(p)
		}
	})
	wall := time.Since(t0).Seconds()
	beside, other := used.cores(pub)
	cpu1 := procCPU(*flPid)
	full, tot, bad, rec := 0, 0, 0, 0
	errs := map[string]int{}
	var ms []float64
	for _, c := range cs {
		tot += c.got
		bad += c.bad
		if c.got == *flMissed {
			full++
			ms = append(ms, c.ms)
		}
		if c.st.recovered == "true" {
			rec++
		}
		if c.err != "" {
			errs[c.err]++
		}
	}
	sort.Float64s(ms)
	o := out{"missed": *flMissed, "clients_full": full, "recovered_flag": rec, "msgs_recovered": tot, "out_of_place": bad, "wall_s": r3(wall),
		"publish_s": r3(pubS), "publish_cpu_ms_per_msg": r3((cpu0 - cpuP) * 1000 / float64(*flMissed)), "srv_cpu_s": r3(cpu1 - cpu0), "beside_cores": r3(beside), "other_cores": r3(other), "rss_before_mib": r3(float64(rss0) / 1024), "rss_after_mib": r3(float64(procRSS(*flPid)) / 1024)}
	if len(errs) > 0 {
		o["errors"] = errs
	}
	if len(ms) > 0 {
		o["p50_ms"], o["max_ms"] = r3(ms[len(ms)/2]), r3(ms[len(ms)-1])
	}
	emit(o)
	pub.close()
}
