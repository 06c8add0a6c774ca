// An ordinary web application. It prints one line once it serves.
const http = require('http')
const os = require('os')

const server = http.createServer((request, response) => {
  response.end(`hello from ${process.env.HOST_NAME || os.hostname()}\n`)
})

server.listen(3000, process.env.HOST_IP, () => console.log('serving on port 3000'))

process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
