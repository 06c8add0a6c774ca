-- HAProxy as a member of a cluster: members with a role become the servers of a backend.
--
-- Load it in the section `global`; everything is set by `setenv` in front of it:
--
--     setenv SPRAT_BACKEND nodes
--     lua-load /usr/share/sprat/sprat-haproxy.lua
--
-- The README beside this file lists the variables. What is decided here is only how HAProxy is
-- told; who is served, and who is held, is decided by the module (`show sprat` says why).

local read = {} -- what each variable was when it was read

local function env(name, default)
  local value = os.getenv("SPRAT_" .. name) or ""
  read[name] = value
  if value == "" then return default end
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
local MIN_READY = number("MIN_READY", "50", 0, 100)
local DRAIN_MS = number("DRAIN_MS", "30000", 0, 86400000)
local LOOPBACK = env("LOOPBACK", "no")
must(LOOPBACK == "yes" or LOOPBACK == "no",
  "SPRAT_LOOPBACK is " .. LOOPBACK .. ", allowed: yes or no")
local LOOK_MS = 250 -- between two looks at HAProxy's own checks
local LISTS_MS = 100 -- between two changes of lists and maps
local LOOKS = 32 -- servers that are looked at between two pauses
local STOP_MS = 40 -- between two looks whether HAProxy stops: an heir waits for the port

----------------------------------------------------------------------------------------------
-- Settings of the node: checked when the configuration is, so that a mistake stops the start.

local SETTINGS = {
  NAME = "name", BIND = "bind", ADVERTISE = "advertise", SEEDS = "seeds", PROFILE = "profile",
  ENCRYPT = "encrypt", KEYRING_FILE = "keyring_file", LABEL = "label", PORT = "spoe_port",
  NETWORKS = "spoe_networks",
}

local function set(variable, setting, value)
  local ok, why = sprat.set(setting, value)
  if not ok then must(nil, "SPRAT_" .. variable .. ": " .. why) end
end

for variable, setting in pairs(SETTINGS) do
  local value = env(variable)
  if value then set(variable, setting, value) end
end

-- "key=value key=value"
local function set_pairs(variable, default, prefix)
  for word in env(variable, default):gmatch("%S+") do
    local key, value = word:match("^([^=]+)=(.*)$")
    must(key, "SPRAT_" .. variable .. ": " .. word .. " is not KEY=VALUE")
    set(variable, prefix .. key, value)
  end
end

set_pairs("TAGS", "role=balancer", "tag.")
set_pairs("SETTINGS", "", "")

must(sprat.prepare()) -- threads: HAProxy allows none later
local IS_FIRST = (core.thread or 0) <= 1 -- with `lua-load-per-thread` there are several
if IS_FIRST then
  local unknown = sprat.resolve_seeds() -- names: in a chroot there are none
  if unknown then core.Warning("sprat: seeds without an address: " .. unknown) end
end
if env("SNAPSHOT") then must(sprat.open_snapshot(env("SNAPSHOT"))) end

-- "nodes" or "nodes:role=web api:role=api"
local function backends()
  local found, used = {}, {}
  for word in must(env("BACKEND"), "SPRAT_BACKEND is not set"):gmatch("%S+") do
    local backend, tag, value = word:match("^(.-):([^:=]+)=(.+)$")
    if not backend then
      must(word:match("^[^:=,]+$"), "SPRAT_BACKEND: " .. word
        .. " is neither BACKEND nor BACKEND:KEY=VALUE; several are separated by spaces")
      backend, tag, value = word, "role", "backend"
    end
    must(not used[backend], "SPRAT_BACKEND names " .. backend .. " twice")
    used[backend] = true
    found[#found + 1] = { name = backend, tag = tag, value = value }
  end
  return found
end

local BACKENDS = backends()

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

local function make_pools()
  for _, backend in ipairs(BACKENDS) do
    local servers = servers_of(backend.name)
    local pool = must(sprat.pool(backend.name, backend.tag, backend.value, #servers, MIN_READY,
      DRAIN_MS, LOOPBACK == "yes"))
    -- Of each slot: whose it is, what was ordered, the address that HAProxy was asked for, and
    -- whether HAProxy cannot reach it.
    pools[pool] = { servers = servers, names = {}, states = {}, asked = {}, doubts = {} }
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

local unchecked = {}

-- `wait` is nil before the first request: nothing can wait there, and nothing need.
local function obey(order, wait)
  local pool = pools[order.pool]
  local server = pool and pool.servers[order.slot]
  if not server then return end
  lates[order.pool .. "/" .. order.slot] = nil
  if pool.names[order.slot] ~= order.name then
    pool.names[order.slot], pool.doubts[order.slot] = order.name, nil
  end
  if not order.ip then
    pool.states[order.slot], pool.asked[order.slot] = nil, nil
    server:set_maint()
    return
  end
  local address = order.ip .. ":" .. order.port
  if not is_at(server, order) then
    if pool.asked[order.slot] ~= address then
      pool.asked[order.slot] = address
      server:set_maint()
      server:set_addr(order.ip, order.port)
    end
    for _ = 1, wait and 50 or 0 do
      if is_at(server, order) then break end
      wait()
    end
    if wait and not is_at(server, order) then
      pool.asked[order.slot] = nil
      server:set_maint()
      return late(order)
    end
  end
  set_mode(server, order)
  pool.states[order.slot] = order.mode
  -- HAProxy 3 would have the first check go to the address before, and believe it.
  if not wait and order.mode ~= "maint" and not is_at(server, order) then
    server:check_disable()
    unchecked[#unchecked + 1] = { server = server, order = order }
  end
end

-- Servers of an earlier life are checked once they are where they should be.
local function check_all(wait)
  for _, it in ipairs(unchecked) do
    for _ = 1, 50 do
      if is_at(it.server, it.order) then break end
      wait()
    end
    it.server:check_enable()
  end
  unchecked = {}
end

local function as_order(pool, slot, mode, weight, ip, port, name)
  if not pool then return nil end -- nothing, or a reason
  return {
    pool = pool, slot = slot, mode = mode, weight = weight, ip = ip, port = port, name = name,
  }
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
  for name, value in pairs(read) do
    must((os.getenv("SPRAT_" .. name) or "") == value,
      "setenv SPRAT_" .. name .. " stands after lua-load, which has read it before")
  end
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

local blind = false

local function is_down(server)
  local ok, stats = pcall(server.get_stats, server)
  if not ok and not blind then
    blind = true
    core.Alert("sprat: this HAProxy does not tell Lua how its servers are, and what it cannot reach"
      .. " is not probed early: " .. tostring(stats))
  end
  local status = ok and stats and stats.status or ""
  return status:match("^DOWN") ~= nil or status:match("^UP %d") ~= nil
end

local round, next_look = {}, 1 -- servers of this round, and who is next

local function begin_round()
  if next_look <= #round then return end -- the one before is not over
  round, next_look = {}, 1
  for number, pool in pairs(pools) do
    for slot in pairs(pool.states) do round[#round + 1] = { number, slot } end
  end
end

-- A few at a time: HAProxy serves nobody on this thread meanwhile.
local function look_at_checks()
  local last = math.min(next_look + LOOKS - 1, #round)
  for n = next_look, last do
    local number, slot = round[n][1], round[n][2]
    local pool = pools[number]
    local mode = pool.states[slot]
    local doubted = mode ~= nil and mode ~= "maint" and is_down(pool.servers[slot])
    if doubted ~= (pool.doubts[slot] or false) then
      pool.doubts[slot] = doubted
      sprat.doubt(number, slot, doubted)
    end
  end
  next_look = last + 1
end

----------------------------------------------------------------------------------------------
-- Lists and maps that HAProxy reads with each request: who is a member, and what it says.

local lists = {} -- { file, now = function, add = function, del = function, has = {} }

local function pairs_of(text)
  if not text then return nil end
  local found = {}
  for ip, value in text:gmatch("(%S+) ([^\n]*)\n") do found[ip] = value end
  return found
end

if env("MEMBERS_ACL") then
  local file = env("MEMBERS_ACL")
  lists[#lists + 1] = {
    file = file, has = {},
    now = function() return pairs_of(sprat.addresses()) end,
    add = function(ip) core.add_acl(file, ip) end,
    del = function(ip) core.del_acl(file, ip) end,
  }
end

-- "/etc/haproxy/names.map /etc/haproxy/roles.map:role"
for word in env("MEMBERS_MAP", ""):gmatch("%S+") do
  local file, tag = word:match("^(.+):([^:]+)$")
  file = file or word
  lists[#lists + 1] = {
    file = file, has = {},
    now = function() return pairs_of(sprat.map(tag or "")) end,
    add = function(ip, value) core.set_map(file, ip, value) end,
    del = function(ip) core.del_map(file, ip) end,
  }
end

local function update(list)
  local now = list.now()
  if not now then return end
  local ok, why = pcall(function()
    for ip, value in pairs(now) do
      if list.has[ip] ~= value then list.add(ip, value) end
    end
    for ip in pairs(list.has) do
      if not now[ip] then list.del(ip) end
    end
  end)
  if not ok then
    list.failed = true
    core.Alert("sprat: the configuration uses no list or map " .. list.file .. ": "
      .. tostring(why))
  end
  list.has = now
end

local function update_lists()
  for _, list in ipairs(lists) do
    if not list.failed then update(list) end
  end
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

-- A node that does not run for longer than a hand-over takes is told of, and again every minute.
local not_running_ms = 0

local function watch_node()
  local phase, why = sprat.phase()
  if (phase ~= "starting" and phase ~= "broken") or not why then
    not_running_ms = 0
    return
  end
  not_running_ms = not_running_ms + LOOK_MS
  if not_running_ms % 60000 == 2000 then
    core.Alert("sprat: the node is " .. phase .. ": " .. why .. "; the servers stay as they are")
  end
end

local function tell_notices()
  local text = sprat.notice()
  while text do
    core.Alert("sprat: " .. text)
    text = sprat.notice()
  end
end

local function serve()
  local seen, listed, hold = -1, -1, nil
  local since_look, since_stop, since_lists = 0, 0, LISTS_MS
  while true do
    local generation = sprat.generation()
    if generation ~= seen then
      take_all(core.yield)
      seen = generation
    end
    since_lists = since_lists + POLL_MS
    if since_lists >= LISTS_MS and generation ~= listed then
      since_lists, listed = 0, generation
      update_lists()
    end
    look_at_checks()
    since_look = since_look + POLL_MS
    if since_look >= LOOK_MS then
      since_look = 0
      try_again(core.yield)
      begin_round()
      watch_node()
      tell_notices()
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

local function warn_of_strange_variables()
  local names = {}
  for name in pairs(read) do names[#names + 1] = name end
  local strange = sprat.strange_variables(table.concat(names, " "))
  if strange then core.Warning("sprat: no setting of this module, and ignored: " .. strange) end
end

if IS_FIRST then warn_of_strange_variables() end

core.register_task(function()
  if not IS_FIRST then return end
  check_all(core.yield)
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
    answer(applet, "node " .. (phase or why)
      .. (silent and ", at work " .. silent .. " ms ago" or "")
      .. (phase and why and ": " .. why or ""))
    answer(applet, (sprat.show()) or "")
  end)

local function register_freeze(word, frozen, text)
  core.register_cli({ "sprat", word }, "sprat " .. word .. " : " .. text, function(applet)
    local ok, why = sprat.freeze(frozen)
    answer(applet, ok and "done" or why)
  end)
end

register_freeze("freeze", true, "take no server away that does not ask for it")
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

-- `lua.sprat_pick(url_param,user)`: the same for what another fetch says. Its value is the name, and
-- address and port are in txn.sprat.ip and txn.sprat.port; all are gone if nobody serves.
local no_fetch = {} -- told of already

core.register_fetches("sprat_pick", function(txn, fetch, ...)
  local found, key = pcall(function(...) return txn.f[fetch](txn.f, ...) end, ...)
  local ip, port, name
  if not found and not no_fetch[fetch or ""] then
    no_fetch[fetch or ""] = true
    core.Alert("sprat: lua.sprat_pick: there is no fetch " .. (fetch or "") .. " for this: "
      .. tostring(key))
  end
  if found and key and key ~= "" then ip, port, name = sprat.pick(tostring(key), 1) end
  if not name then
    txn:unset_var("txn.sprat.ip")
    txn:unset_var("txn.sprat.port")
    return ""
  end
  txn:set_var("txn.sprat.ip", ip)
  txn:set_var("txn.sprat.port", port)
  return name
end)

core.register_fetches("sprat_member", function(txn, ip)
  return sprat.is_member(ip or txn.f:src()) == true
end)
