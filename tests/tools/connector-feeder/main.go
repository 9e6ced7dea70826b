// connector-feeder ADDRESS FILE is what ExternalDNS's source `connector` connects to: it answers each connection with the
// endpoints that FILE (JSON, in the form of the webhook API) holds at that moment.
package main

import (
	"encoding/gob"
	"encoding/json"
	"log"
	"net"
	"os"
)

// A gob tells fields by their names, so ExternalDNS need not be imported.
type endpoint struct {
	DNSName, RecordType, SetIdentifier string
	Targets                            []string
	RecordTTL                          int64
	Labels                             map[string]string
	ProviderSpecific                   []struct{ Name, Value string }
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		endpoints := []endpoint{}
		text, err := os.ReadFile(os.Args[2])
		if err == nil {
			err = json.Unmarshal(text, &endpoints)
		}
		if err == nil {
			err = gob.NewEncoder(conn).Encode(endpoints)
		}
		if err != nil {
			// ExternalDNS sees a connection that ends, and our log says why.
			log.Print(err)
		}
		conn.Close()
	}
}
