// A member on Go's memberlist, for tests together with sprat. The arguments are the name of
// the member, its address, and optionally a key in base64. The program carries out the commands on
// its standard input, a line each, and prints a line for each call of its delegates. It ends with its
// input.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

var states = map[memberlist.NodeStateType]string{
	memberlist.StateAlive:   "alive",
	memberlist.StateSuspect: "suspect",
	memberlist.StateDead:    "dead",
	memberlist.StateLeft:    "left",
}

// message is a broadcast that replaces no other.
type message []byte

func (m message) Invalidates(memberlist.Broadcast) bool { return false }
func (m message) Message() []byte                       { return m }
func (m message) Finished()                             {}

// member is a member with its delegates.
type member struct {
	list  *memberlist.Memberlist
	queue memberlist.TransmitLimitedQueue
	print sync.Mutex

	lock  sync.Mutex
	meta  string
	state string
}

// say prints a line.
func (m *member) say(words ...interface{}) {
	m.print.Lock()
	defer m.print.Unlock()
	fmt.Println(words...)
}

func (m *member) NotifyJoin(n *memberlist.Node)   { m.say("join", n.Name) }
func (m *member) NotifyLeave(n *memberlist.Node)  { m.say("leave", n.Name) }
func (m *member) NotifyUpdate(n *memberlist.Node) { m.say("update", n.Name, string(n.Meta)) }

func (m *member) NotifyConflict(existing, other *memberlist.Node) {
	m.say("conflict", existing.Name, existing.Address(), other.Address())
}

// NotifyMerge prints the members that the other side of a join lists, each with its state.
func (m *member) NotifyMerge(peers []*memberlist.Node) error {
	for _, peer := range peers {
		m.say("listed", peer.Name, states[peer.State])
	}
	return nil
}

func (m *member) NodeMeta(int) []byte {
	m.lock.Lock()
	defer m.lock.Unlock()
	return []byte(m.meta)
}

func (m *member) NotifyMsg(payload []byte) { m.say("message", string(payload)) }

func (m *member) GetBroadcasts(overhead, limit int) [][]byte {
	return m.queue.GetBroadcasts(overhead, limit)
}

// LocalState returns the state that was set, preceded by "join" or "later".
func (m *member) LocalState(join bool) []byte {
	m.lock.Lock()
	defer m.lock.Unlock()
	return []byte(when(join) + " " + m.state)
}

func (m *member) MergeRemoteState(state []byte, join bool) {
	m.say("state", when(join), string(state))
}

func when(join bool) string {
	if join {
		return "join"
	}
	return "later"
}

// node returns the member with this name, or nil.
func (m *member) node(name string) *memberlist.Node {
	for _, node := range m.list.Members() {
		if node.Name == name {
			return node
		}
	}
	return nil
}

// run carries out a command, and returns its error.
func (m *member) run(command, first, rest string) error {
	switch command {
	case "join":
		_, err := m.list.Join([]string{first})
		return err
	case "datagram", "reliable":
		to := m.node(first)
		if to == nil {
			return fmt.Errorf("there is no member '%s'", first)
		}
		if command == "datagram" {
			return m.list.SendBestEffort(to, []byte(rest))
		}
		return m.list.SendReliable(to, []byte(rest))
	case "broadcast":
		m.queue.QueueBroadcast(message(first))
	case "state":
		m.lock.Lock()
		m.state = first
		m.lock.Unlock()
	case "meta":
		m.lock.Lock()
		m.meta = first
		m.lock.Unlock()
		return m.list.UpdateNode(time.Minute)
	case "leave":
		return m.list.Leave(time.Minute)
	default:
		return fmt.Errorf("there is no command '%s'", command)
	}
	return nil
}

func main() {
	m := &member{}
	config := memberlist.DefaultLANConfig()
	config.Name = os.Args[1]
	config.BindAddr = os.Args[2]
	config.PushPullInterval = time.Second
	config.Delegate, config.Events, config.Conflict, config.Merge = m, m, m, m
	config.Logger = log.New(os.Stderr, "", 0)
	if len(os.Args) > 3 {
		key, err := base64.StdEncoding.DecodeString(os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		config.SecretKey = key
	}
	m.queue.RetransmitMult = config.RetransmitMult
	m.queue.NumNodes = func() int { return m.list.NumMembers() }
	list, err := memberlist.Create(config)
	if err != nil {
		log.Fatal(err)
	}
	m.list = list
	m.say("ready")
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		words = append(words, "", "")
		if err := m.run(words[0], words[1], words[2]); err != nil {
			m.say("failed", words[0], err)
		} else {
			m.say("done", words[0])
		}
	}
}
