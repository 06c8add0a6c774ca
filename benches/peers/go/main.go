// A cluster of nodes of Go's memberlist, with its LAN profile, in one process; src/lib.rs describes
// the commands on standard input and the output. With the arguments `seal COUNT`, the program
// instead measures how long it takes to seal a packet of 1,138 bytes with AES-128 as memberlist
// does, which makes the cipher anew for each packet.
package main

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// network is the third octet of the nodes' addresses.
const network = 3

// reporter reports the events of one node.
type reporter struct{ index int }

func (r reporter) NotifyJoin(n *memberlist.Node)   { fmt.Printf("%d joined %s\n", r.index, n.Name) }
func (r reporter) NotifyLeave(n *memberlist.Node)  { fmt.Printf("%d failed %s\n", r.index, n.Name) }
func (r reporter) NotifyUpdate(n *memberlist.Node) {}

func address(index int) string { return fmt.Sprintf("127.88.%d.%d", network, index+1) }

func start(index int) *memberlist.Memberlist {
	config := memberlist.DefaultLANConfig()
	config.Name = fmt.Sprintf("n%d", index+1)
	config.BindAddr = address(index)
	config.Events = reporter{index}
	config.Logger = log.New(io.Discard, "", 0)
	node, err := memberlist.Create(config)
	if err != nil {
		log.Fatal(err)
	}
	if index > 0 {
		if _, err := node.Join([]string{address(0)}); err != nil {
			log.Fatal(err)
		}
	}
	return node
}

func cluster() {
	var lock sync.Mutex
	nodes := map[int]*memberlist.Memberlist{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		index, err := strconv.Atoi(words[1])
		if err != nil {
			log.Fatal(err)
		}
		switch words[0] {
		case "start":
			go func() {
				node := start(index)
				lock.Lock()
				nodes[index] = node
				lock.Unlock()
			}()
		case "kill":
			lock.Lock()
			node := nodes[index]
			delete(nodes, index)
			lock.Unlock()
			if err := node.Shutdown(); err != nil {
				log.Fatal(err)
			}
		default:
			log.Fatalf("there is no command '%s'", words[0])
		}
	}
}

func seal(count int) {
	key := make([]byte, 16)
	packet := make([]byte, 1138)
	began := time.Now()
	for i := 0; i < count; i++ {
		block, err := aes.NewCipher(key)
		if err != nil {
			log.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			log.Fatal(err)
		}
		nonce := make([]byte, gcm.NonceSize())
		if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
			log.Fatal(err)
		}
		gcm.Seal(nil, nonce, packet, nil)
	}
	fmt.Println(time.Since(began).Nanoseconds() / int64(count))
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "seal" {
		count, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		seal(count)
		return
	}
	cluster()
}
