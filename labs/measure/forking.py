# forking.py PORT - an echo server with a process for each client, out of Python's library.
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536): self.request.sendall(data)
class Server(socketserver.ForkingTCPServer): request_queue_size = 1024
Server(('127.0.0.1', int(sys.argv[1])), Echo).serve_forever()
