-- HAProxy as a member of a cluster: members with a role become the servers of a backend.
--
-- Load it in the section `global`; everything is set by `setenv` in front of it:
--
--     setenv SPRAT_BACKEND nodes
--     lua-load /usr/share/sprat/sprat-haproxy.lua
--
-- The README beside this file lists the variables. What is decided here is only how HAProxy is
-- told; who is served, and who is held, is decided by the module (`show sprat` says why).

local function env(name, default)
  local value = os.getenv("SPRAT_" .. name)
  if value == nil or value == "" then return default end
  return value
end

package.cpath = env("MODULES", "/usr/lib/sprat") .. "/?.so;" .. package.cpath
local sprat = require("sprat")

local function must(answer, why)
  if not answer then error("sprat: " .. why, 0) end
  return answer
end

local function number(name, default, min, max)
  local text = env(name, default)
  local value = math.tointeger(tonumber(text))
  return must(value and value >= min and value <= max and value,
    "SPRAT_" .. name .. " is " .. text .. ", allowed: " .. min .. " to " .. max)
end

local POLL_MS = number("POLL_MS", "20", 1, 1000)
local HEIR_MS = number("HEIR_MS", "300", 0, 60000)
local PORT = number("PORT", "0", 0, 65535)
local MIN_READY = number("MIN_READY", "50", 0, 100)
local DRAIN_MS = number("DRAIN_MS", "30000", 0, 86400000)
local LOOPBACK = env("LOOPBACK", "no")
must(LOOPBACK == "yes" or LOOPBACK == "no", "SPRAT_LOOPBACK is " .. LOOPBACK .. ", allowed: yes or no")
local LOOK_MS = 250 -- between two looks at HAProxy's own checks
local STOP_MS = 40 -- between two looks whether HAProxy stops: an heir waits for the port

----------------------------------------------------------------------------------------------
-- Settings of the node: checked when the configuration is, so that a mistake stops the start.

local SETTINGS = {
  NAME = "name", BIND = "bind", ADVERTISE = "advertise", SEEDS = "seeds", PROFILE = "profile",
  ENCRYPT = "encrypt", KEYRING_FILE = "keyring_file", LABEL = "label",
}

for variable, setting in pairs(SETTINGS) do
  local value = env(variable)
  if value then must(sprat.set(setting, value)) end
end

-- "key=value key=value"
local function each_pair(text, take)
  for word in text:gmatch("%S+") do
    local key, value = word:match("^([^=]+)=(.*)$")
    must(key, word .. " is not KEY=VALUE")
    take(key, value)
  end
end

each_pair(env("TAGS", "role=balancer"), function(key, value)
  must(sprat.set("tag." .. key, value))
end)
each_pair(env("SETTINGS", ""), function(key, value) must(sprat.set(key, value)) end)

must(sprat.prepare()) -- threads: HAProxy allows none later
if env("SNAPSHOT") then must(sprat.open_snapshot(env("SNAPSHOT"))) end

----------------------------------------------------------------------------------------------
-- Backends and their servers

local pools = {} -- number of the pool -> { name, servers = { slot -> server } }

local function digits_last(name)
  local prefix, digits = name:match("^(.-)(%d+)$")
  return prefix or name, tonumber(digits) or 0
end

-- Nobody's server, as the `server-template` has it. Others are the operator's, and left alone.
local function is_slot(server)
  local ip = server:get_addr():match("^(.*):%d+$")
  return ip == "0.0.0.0" or ip == "::"
end

-- The servers of a `server-template` in the order of their numbers.
local function servers_of(backend)
  local proxy = must(core.backends[backend], "there is no backend " .. backend)
  local names = {}
  for name, server in pairs(proxy.servers) do
    if is_slot(server) then names[#names + 1] = name end
  end
  table.sort(names, function(a, b)
    local prefix_a, number_a = digits_last(a)
    local prefix_b, number_b = digits_last(b)
    if prefix_a ~= prefix_b then return prefix_a < prefix_b end
    return number_a < number_b
  end)
  must(#names > 0, "backend " .. backend .. " needs a server-template whose address is 0.0.0.0:1")
  local servers = {}
  for slot, name in ipairs(names) do servers[slot] = proxy.servers[name] end
  return servers
end

-- "nodes" or "nodes:role=web api:role=api"
local function make_pools()
  local used = {}
  for word in must(env("BACKEND"), "SPRAT_BACKEND is not set"):gmatch("%S+") do
    local backend, tag, value = word:match("^([^:]+):([^=]+)=(.+)$")
    if not backend then backend, tag, value = word, "role", "backend" end
    must(not used[backend], "SPRAT_BACKEND names " .. backend .. " twice")
    used[backend] = true
    local servers = servers_of(backend)
    local pool = must(sprat.pool(backend, tag, value, #servers, PORT, MIN_READY, DRAIN_MS,
      LOOPBACK == "yes"))
    pools[pool] = { name = backend, servers = servers, states = {} }
  end
end

----------------------------------------------------------------------------------------------
-- Telling HAProxy. A server that changes its address is stopped first: from HAProxy 3.0 on the
-- change takes a moment, in which requests would go to the one before.

local function address_of(server)
  local text = server:get_addr() -- "10.0.0.1:80", and "::1:80" for IPv6
  local ip, port = text:match("^(.*):(%d+)$")
  return ip, math.tointeger(tonumber(port))
end

local function is_at(server, order)
  local ip, port = address_of(server)
  return ip == order.ip and port == order.port
end

local function set_mode(server, order)
  server:set_weight(string.format("%d", order.weight))
  if order.mode == "ready" then server:set_ready()
  elseif order.mode == "drain" then server:set_drain()
  else server:set_maint() end
end

-- Orders that HAProxy has not carried out yet: tried again, until there is a newer one.
local lates, told = {}, {}

local function late(order)
  local key = order.pool .. "/" .. order.slot
  if told[key] ~= order.ip then
    told[key] = order.ip
    core.Alert("sprat: HAProxy has not taken " .. order.ip .. " yet; its server waits")
  end
  lates[key] = order
end

-- `wait` is nil before the first request: nothing can wait there, and nothing need.
local function obey(order, wait)
  local pool = pools[order.pool]
  local server = pool and pool.servers[order.slot]
  if not server then return end
  lates[order.pool .. "/" .. order.slot] = nil
  if not order.ip then
    pool.states[order.slot] = nil
    server:set_maint()
    return
  end
  if not is_at(server, order) then
    server:set_maint()
    server:set_addr(order.ip, order.port)
    for _ = 1, wait and 50 or 0 do
      if is_at(server, order) then break end
      wait()
    end
    if wait and not is_at(server, order) then return late(order) end
  end
  set_mode(server, order)
  pool.states[order.slot] = order.mode
end

local function as_order(pool, slot, mode, weight, ip, port, name)
  if not pool then return nil end -- nothing, or a reason
  return { pool = pool, slot = slot, mode = mode, weight = weight, ip = ip, port = port, name = name }
end

local function take_all(wait)
  local order = as_order(sprat.poll())
  while order do
    obey(order, wait)
    order = as_order(sprat.poll())
  end
end

local function try_again(wait)
  local again = lates
  lates = {}
  for _, order in pairs(again) do obey(order, wait) end
end

-- What an earlier life knew, before the first request.
core.register_init(function()
  make_pools()
  local n = 1
  local order = as_order(sprat.remembered(n))
  while order do
    obey(order, nil)
    n = n + 1
    order = as_order(sprat.remembered(n))
  end
end)

----------------------------------------------------------------------------------------------
-- What HAProxy itself thinks of its servers: the second witness against a suspect.

local function is_down(server)
  local ok, stats = pcall(server.get_stats, server)
  local status = ok and stats and stats.status or ""
  return status:match("^DOWN") ~= nil or status:match("^UP %d") ~= nil
end

local function look_at_checks()
  for number, pool in pairs(pools) do
    pool.doubts = pool.doubts or {}
    for slot, mode in pairs(pool.states) do
      local doubted = mode ~= "maint" and is_down(pool.servers[slot])
      if doubted ~= (pool.doubts[slot] or false) then
        pool.doubts[slot] = doubted
        sprat.doubt(number, slot, doubted)
      end
    end
  end
end

----------------------------------------------------------------------------------------------
-- Lists that HAProxy reads with each request: who is a member.

local ACL = env("MEMBERS_ACL")
local listed, acl_failed = {}, false

local function update_acl()
  local addresses = sprat.addresses()
  if not ACL or acl_failed or not addresses then return end
  local now = {}
  for ip in addresses:gmatch("%S+") do now[ip] = true end
  local ok, why = pcall(function()
    for ip in pairs(now) do
      if not listed[ip] then core.add_acl(ACL, ip) end
    end
    for ip in pairs(listed) do
      if not now[ip] then core.del_acl(ACL, ip) end
    end
  end)
  if not ok then
    acl_failed = true
    core.Alert("sprat: the configuration has no list " .. ACL .. ": " .. tostring(why))
  end
  listed = now
end

----------------------------------------------------------------------------------------------
-- The task

local function is_stopping()
  return (tonumber(core.get_info().Stopping) or 0) ~= 0
end

-- HAProxy that stops ends as soon as it has no connection, too early for a farewell. One that is
-- open keeps it alive: to the node itself, so that the end of the node ends it.
local function hold_on()
  local name = sprat.phase() == "running" and sprat.socket()
  if not name then return nil end
  local socket = core.tcp()
  local ok, connected = pcall(socket.connect, socket, "abns@" .. name)
  return ok and connected and socket or nil
end

-- Gives the port to an heir, or says goodbye.
local function stop(hold)
  sprat.release(HEIR_MS)
  local patience = HEIR_MS + 6000
  while sprat.phase() ~= "released" and patience > 0 do
    core.msleep(10)
    patience = patience - 10
  end
  if hold then pcall(hold.close, hold) end
end

-- A node that does not run for longer than a hand-over takes is told once for each reason.
local trouble = { looks = 0, said = nil }

local function watch_node()
  local phase, why = sprat.phase()
  if (phase == "starting" or phase == "broken") and why then
    trouble.looks = trouble.looks + 1
    if trouble.looks * LOOK_MS >= 2000 and trouble.said ~= why then
      trouble.said = why
      core.Alert("sprat: the node is " .. phase .. ": " .. why .. "; the servers stay as they are")
    end
  elseif phase == "running" then
    trouble = { looks = 0, said = nil }
  end
end

local function serve()
  local seen, since_look, since_stop, hold = -1, 0, 0, nil
  while true do
    local generation = sprat.generation()
    if generation ~= seen then
      take_all(core.yield)
      update_acl()
      seen = generation
    end
    since_look = since_look + POLL_MS
    if since_look >= LOOK_MS then
      since_look = 0
      try_again(core.yield)
      look_at_checks()
      watch_node()
      hold = hold or hold_on()
    end
    since_stop = since_stop + POLL_MS
    if since_stop >= STOP_MS then
      since_stop = 0
      if is_stopping() then return stop(hold) end
    end
    core.msleep(POLL_MS)
  end
end

core.register_task(function()
  if (core.thread or 0) > 1 then return end -- `lua-load-per-thread`: one of them does it
  local ok, why = sprat.start()
  if not ok then
    core.Alert("sprat: " .. why .. "; the servers stay as they are")
    return
  end
  serve()
end)

----------------------------------------------------------------------------------------------
-- For operators and configurations

local function answer(applet, text)
  applet:send(text .. "\n")
end

core.register_cli({ "show", "sprat" }, "show sprat : members, slots, and what holds them",
  function(applet)
    local phase, why, silent = sprat.phase()
    answer(applet, "node " .. (phase or why) .. (phase and why and ": " .. why or "")
      .. (silent and ", heard of " .. silent .. " ms ago" or ""))
    answer(applet, (sprat.show()) or "")
  end)

local function register_freeze(word, frozen, text)
  core.register_cli({ "sprat", word }, "sprat " .. word .. " : " .. text, function(applet)
    local ok, why = sprat.freeze(frozen)
    answer(applet, ok and "done" or why)
  end)
end

register_freeze("freeze", true, "take no server away")
register_freeze("thaw", false, "take servers away again")

-- The server for a key, by rendezvous hashing among those of the first backend: its name, address
-- and port. `http-request set-dst url_param(user),lua.sprat_ip` and so on; "" if nobody serves.
local function register_pick(word, part)
  core.register_converters(word, function(key)
    local answers = { sprat.pick(tostring(key), 1) }
    return answers[1] and answers[part] or ""
  end)
end

register_pick("sprat_ip", 1)
register_pick("sprat_port", 2)
register_pick("sprat_name", 3)

core.register_fetches("sprat_member", function(txn, ip)
  return sprat.is_member(ip or txn.f:src()) == true
end)
