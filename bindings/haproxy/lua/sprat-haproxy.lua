-- HAProxy as a member of a cluster: members with a certain tag become the servers of a backend.
--
-- The section `global` loads this script. The settings are environment variables, which must be set
-- before the script is loaded:
--
--     setenv SPRAT_BACKEND nodes
--     lua-load /usr/share/sprat/sprat-haproxy.lua
--
-- The README in the parent folder lists the variables. The module `sprat` decides which member is
-- in which slot and whether its server may be removed (`show sprat` gives the reasons); this script
-- only carries out these decisions.

local read_values = {} -- the value of each variable when it was read

local function env(name, default)
  local value = os.getenv("SPRAT_" .. name) or ""
  read_values[name] = value
  if value == "" then return default end
  return value
end

package.cpath = env("MODULES", "/usr/lib/sprat") .. "/?.so;" .. package.cpath
local sprat = require("sprat")

local function must(value, why)
  if not value then error("sprat: " .. why, 0) end
  return value
end

local function number(name, default, min, max)
  local text = env(name, default)
  local value = math.tointeger(tonumber(text))
  return must(value and value >= min and value <= max and value,
    "SPRAT_" .. name .. " is " .. text .. ", allowed: " .. min .. " to " .. max)
end

local POLL_MS = number("POLL_MS", "20", 1, 1000)
local HANDOVER_MS = number("HANDOVER_MS", "300", 0, 60000)
local MIN_READY = number("MIN_READY", "50", 0, 100)
local GRACE_MS = number("GRACE_MS", "30000", 0, 86400000)
local DRAIN_MS = number("DRAIN_MS", "30000", 0, 86400000)
local LOOPBACK = env("LOOPBACK", "no")
must(LOOPBACK == "yes" or LOOPBACK == "no",
  "SPRAT_LOOPBACK is " .. LOOPBACK .. ", allowed: yes or no")
local CHECKS_MS = 250 -- the period of reading the results of HAProxy's health checks
local CHECKS_AT_ONCE = 32 -- the number of servers whose results are read between two pauses
local LISTS_MS = 100 -- the shortest time between two updates of lists and maps
local STOP_MS = 40 -- the period of checks for a stop; short, as a successor may wait for the port
local LEAVE_MS = 6000 -- the longest wait for the node to leave the cluster
local SAVE_MS = 1000 -- the longest wait of a command until the snapshot has it
local STUCK_S = 5 -- a task that has not run for this many seconds is replaced
local ADDRESS_TRIES = 50 -- the number of checks for whether HAProxy has taken an address

----------------------------------------------------------------------------------------------
-- Settings of the node. They are checked with the configuration: HAProxy does not start if one is
-- wrong.

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

-- Sets settings from a variable with a value such as "key=value key=value".
local function set_pairs(variable, default, prefix)
  for word in env(variable, default):gmatch("%S+") do
    local key, value = word:match("^([^=]+)=(.*)$")
    must(key, "SPRAT_" .. variable .. ": " .. word .. " is not KEY=VALUE")
    set(variable, prefix .. key, value)
  end
end

set_pairs("TAGS", "role=balancer", "tag.")
set_pairs("SETTINGS", "", "")

must(sprat.prepare()) -- creates the threads: HAProxy allows no new ones later
local IS_FIRST = (core.thread or 0) <= 1 -- `lua-load-per-thread` runs this script in every thread
if IS_FIRST then
  local unknown = sprat.resolve_seeds() -- now, because a chroot has no name resolution
  if unknown then core.Warning("sprat: seeds without an address: " .. unknown) end
end
if env("SNAPSHOT") then must(sprat.open_snapshot(env("SNAPSHOT"))) end

-- Parses SPRAT_BACKEND: "nodes" or "nodes:role=web api:role=api". The name of a backend may contain
-- colons.
local function parse_backends()
  local found, used = {}, {}
  for word in must(env("BACKEND"), "SPRAT_BACKEND is not set"):gmatch("%S+") do
    local backend, tag, value = word:match("^([^=]+):([^:=]+)=(.+)$")
    if not backend then
      must(word:match("^[^=,]+$"), "SPRAT_BACKEND: " .. word
        .. " is neither BACKEND nor BACKEND:KEY=VALUE; several are separated by spaces")
      backend, tag, value = word, "role", "backend"
    end
    must(not used[backend], "SPRAT_BACKEND names " .. backend .. " twice")
    used[backend] = true
    found[#found + 1] = { name = backend, tag = tag, value = value }
  end
  return found
end

local BACKENDS = parse_backends()

-- HAProxy reads the server-state file after its configuration, and so after this script has run.
if env("SERVER_STATE") then
  must(env("SNAPSHOT"), "SPRAT_SERVER_STATE needs SPRAT_SNAPSHOT, from which the file is written")
  local words = {}
  for _, it in ipairs(BACKENDS) do
    words[#words + 1] = it.name .. " " .. it.tag .. "=" .. it.value
  end
  must(sprat.write_server_state(env("SERVER_STATE"), table.concat(words, " ")))
end

----------------------------------------------------------------------------------------------
-- Backends and their servers

-- A table for each backend, by the number of the backend. `name` is the name of the backend,
-- `proxy` is the backend in HAProxy, and `usable` is the number of its servers that got requests
-- when it was last read. The other fields are tables by slot:
--
--     servers      the server of HAProxy
--     slot_names   the name of the server in HAProxy
--     names        the name of the member
--     applied      the assignment that was last carried out
--     states       the state in that assignment
--     moving       the address that HAProxy was told to take, until the assignment is carried out;
--                  "" if the command must be sent again
--     reach        whether HAProxy sends requests to the server, as it was last reported
--     failures     the number of health checks that had failed when the server was last started
--     stopped      true if HAProxy had the server in maintenance when it was last read
--     drifts       how the server differs from its assignment, as text
--     others       the state, weight and address that someone else has set, true in
--                  `stops_requests` if the server gets no requests because of them, and `text`,
--                  which tells how the server differs from its assignment
local pools = {}

local function split_number(name)
  local prefix, digits = name:match("^(.-)(%d+)$")
  return prefix or name, tonumber(digits) or 0
end

-- Returns true if a server has the address 0.0.0.0 or `::` of a `server-template`, or the address
-- that this script wrote to the server-state file. Other servers belong to the operator.
local function is_slot(backend, name, server)
  local address = server:get_addr() -- "10.0.0.1:80", and "::1:80" for IPv6
  local ip = address:match("^(.*):%d+$")
  return ip == "0.0.0.0" or ip == "::" or sprat.is_in_server_state(backend, name, address)
end

-- Returns the servers that are slots, sorted by prefix and number, and their names.
local function servers_of(backend)
  local proxy = must(core.backends[backend], "there is no backend " .. backend)
  local names = {}
  for name, server in pairs(proxy.servers) do
    if is_slot(backend, name, server) then names[#names + 1] = name end
  end
  table.sort(names, function(a, b)
    local prefix_a, number_a = split_number(a)
    local prefix_b, number_b = split_number(b)
    if prefix_a ~= prefix_b then return prefix_a < prefix_b end
    return number_a < number_b
  end)
  must(#names > 0,
    "backend " .. backend .. " has no slots; it needs a server-template with the address 0.0.0.0")
  local servers = {}
  for slot, name in ipairs(names) do servers[slot] = proxy.servers[name] end
  return servers, names
end

local function make_pools()
  for _, backend in ipairs(BACKENDS) do
    local servers, names = servers_of(backend.name)
    local number_of_backend = must(sprat.add_backend(backend.name, backend.tag, backend.value,
      table.concat(names, " "), MIN_READY, DRAIN_MS, GRACE_MS, LOOPBACK == "yes"))
    pools[number_of_backend] = {
      name = backend.name, proxy = core.backends[backend.name], usable = 0, servers = servers,
      slot_names = names, names = {}, applied = {}, states = {}, moving = {}, reach = {},
      failures = {}, stopped = {}, drifts = {}, others = {},
    }
  end
end

local stats_failed = false -- true once it has been logged that HAProxy gives Lua no statistics

-- Returns HAProxy's statistics of a server or a backend; an empty table if HAProxy does not provide
-- them.
local function statistics(of)
  local ok, stats = pcall(of.get_stats, of)
  if ok then return stats or {} end
  if not stats_failed then
    stats_failed = true
    core.Alert("sprat: this HAProxy does not give Lua the results of its health checks, so members"
      .. " that it cannot reach are not probed early: " .. tostring(stats))
  end
  return {}
end

-- Returns the number of health checks that have failed since HAProxy started.
local function failed_checks(stats)
  return tonumber(stats.chkfail) or 0
end

local SUPERSEDED = "another task serves now" -- the error that ends a task that was replaced
local failing = {} -- by text: true while the function that the text describes fails

-- Calls a function that changes or reads a server, and returns true if it succeeds. HAProxy may
-- raise an error for one server, which must not stop the work on the others. The error is logged
-- once until the function succeeds again.
local function attempt(what, call, ...)
  local ok, why = pcall(call, ...)
  if not ok and why == SUPERSEDED then error(why, 0) end
  if not ok and not failing[what] then
    core.Alert("sprat: " .. what .. ": " .. tostring(why) .. "; this is tried again")
  end
  failing[what] = not ok or nil
  return ok
end

local function describe(pool, slot)
  return "server " .. pool.slot_names[slot] .. " of backend " .. pool.name
end

----------------------------------------------------------------------------------------------
-- Assignments: the member, address, weight and state that a slot should have.
--
-- A server that changes its address is stopped first: from HAProxy 3.0 on, the change takes a
-- moment, during which requests would go to the old address. The last server that serves is not
-- stopped: until HAProxy has taken the new address, requests go to the old one instead of nowhere.

local function has_address(server, assignment)
  return sprat.is_address(server:get_addr(), assignment.ip .. ":" .. assignment.port)
end

-- Returns true if the server was deleted (`del server`). Nothing brings it back.
local function is_deleted(server)
  return server:get_addr() == nil
end

local function weight_of(server)
  return math.tointeger(tonumber(server:get_weight()))
end

-- Sets the weight of a server. If HAProxy refuses the weight, its answer is logged: each answer
-- once for each backend. Some balancing algorithms do not allow weights to change.
local refused = {}

local function set_weight(pool, server, assignment)
  local why = server:set_weight(string.format("%d", assignment.weight))
  assignment.is_weight_refused = why ~= nil
  if not why then return end
  local text = "backend " .. pool.name .. ": HAProxy refuses weights of members: "
    .. tostring(why):gsub("%s+$", "")
  if refused[text] then return end
  refused[text] = true
  core.Warning("sprat: " .. text)
end

local function set_state(server, state)
  if state == "ready" then server:set_ready()
  elseif state == "drain" then server:set_drain()
  else server:set_maint() end
end

-- Returns the administrative state that HAProxy has for a server; nil if the statistics do not show
-- it. HAProxy shows a server with the weight 0 as draining, whatever its state.
local function actual_state(server, stats)
  local status = stats.status
  if not status then return nil end
  if status:match("^MAINT") then return "maint" end
  if weight_of(server) == 0 then return nil end
  local draining = server:is_draining() -- 1 or 0 in HAProxy 2.6, true or false later
  return (draining == true or draining == 1) and "drain" or "ready"
end

-- Returns an assignment as the arguments of the functions that compare it with a server.
local function goal_of(it)
  return it.backend, it.slot, it.name, it.order, it.state, it.weight, it.ip, it.port
end

-- Notes what someone else has set, and how the server differs from the assignment that was last
-- carried out. The module decides what belongs to others (`find_changes`).
local function note_others(pool, slot, stats)
  local server, ordered = pool.servers[slot], pool.applied[slot]
  if not ordered or pool.moving[slot] then return end
  local state, weight, address, stops_requests, text = sprat.find_changes(
    actual_state(server, stats) or "", weight_of(server) or -1, server:get_addr() or "",
    ordered.is_weight_refused == true, goal_of(ordered))
  must(text, weight) -- a call that fails returns nil and a message
  pool.others[slot] = {
    state = state, weight = weight, address = address, stops_requests = stops_requests,
    text = text,
  }
end

-- Returns true if an assignment gives the slot to another member, or follows a new order.
local function is_new(pool, assignment)
  local before = pool.applied[assignment.slot] or {}
  return before.name ~= assignment.name or before.order ~= assignment.order
end

-- Sets the weight and the state of a server where the assignment changes them, except those that
-- someone else has set. A server that was stopped to be moved gets its state again.
local function set_changes(pool, server, assignment)
  local slot = assignment.slot
  local before, kept = pool.applied[slot] or {}, pool.others[slot] or {}
  local all = is_new(pool, assignment)
  if not kept.weight and (all or before.weight ~= assignment.weight) then
    set_weight(pool, server, assignment)
  else
    assignment.is_weight_refused = before.is_weight_refused
  end
  local is_changed = before.state ~= assignment.state and not kept.state
  if all or is_changed or pool.moving[slot] then
    set_state(server, kept.state or assignment.state)
  end
  sprat.end_changes(assignment.is_weight_refused == true, goal_of(assignment))
  pool.applied[slot], pool.moving[slot] = assignment, nil
end

local function slot_key(assignment)
  return assignment.backend .. "/" .. assignment.slot
end

-- Assignments that could not be carried out yet, by slot: HAProxy has not taken the address, or the
-- last server that serves would be removed. Each assignment is tried again until it succeeds or a
-- newer one replaces it, so the last server stays until HAProxy has reached another one or the
-- controller has decided anew.
local retries = {}
local retry_logged = {} -- by slot: the address for which a retry is logged

local function retry_later(assignment)
  local key = slot_key(assignment)
  if retry_logged[key] ~= assignment.ip then
    retry_logged[key] = assignment.ip
    core.Alert("sprat: HAProxy has not taken the address " .. assignment.ip
      .. " yet; the server does not serve at that address until HAProxy has taken it")
  end
  retries[key] = assignment
end

-- Assignments of the snapshot whose addresses HAProxy takes only once it runs. HAProxy 3 without a
-- server-state file has such assignments.
local late = {}

-- Notes the member of a slot, and forgets what was found out about the previous member.
local function set_member(pool, assignment)
  local slot = assignment.slot
  if (pool.drifts[slot] or "") ~= "" then
    sprat.set_drift(assignment.backend, slot, pool.names[slot], "")
  end
  pool.names[slot], pool.reach[slot] = assignment.name, nil
  pool.drifts[slot], pool.others[slot] = nil, nil
end

-- Returns whether a server gets requests now: "out", "unproven" or "proven" (`sprat.rotation`). If
-- HAProxy does not give Lua the results of its health checks, every ready server counts as proven.
local function rotation(pool, slot)
  local server = pool.servers[slot]
  if pool.states[slot] ~= "ready" or is_deleted(server) then return "out" end
  return sprat.rotation(statistics(server).status or "no check", weight_of(server) or 0)
end

-- Returns true if this server gets requests, no other server of the backend serves, and the guard
-- applies. A server that is being moved does not serve: it is stopped, or HAProxy has not reached
-- it at its new address yet.
local function is_last(pool, assignment)
  local slot = assignment.slot
  if assignment.is_unguarded and assignment.state ~= "ready" then return false end
  if rotation(pool, slot) == "out" then return false end
  for other in pairs(pool.states) do
    if other ~= slot and not pool.moving[other] and rotation(pool, other) == "proven" then
      return false
    end
  end
  return true
end

-- Returns true if HAProxy does not have the address of an assignment, or may still take the address
-- of an earlier assignment. An address that someone else has set is kept.
local function needs_move(pool, server, assignment)
  local slot = assignment.slot
  if pool.moving[slot] then return true end
  return not has_address(server, assignment) and not (pool.others[slot] or {}).address
end

-- Sets the address of a server, and waits until HAProxy has taken it. Returns false if HAProxy has
-- not taken it in time. Without `wait`, this function does not wait.
local function move(pool, server, assignment, wait)
  local address = assignment.ip .. ":" .. assignment.port
  local last = is_last(pool, assignment)
  if pool.moving[assignment.slot] ~= address then
    pool.moving[assignment.slot] = address
    if not last then server:set_maint() end
    server:set_addr(assignment.ip, assignment.port)
  end
  for _ = 1, wait and ADDRESS_TRIES or 0 do
    if has_address(server, assignment) then return true end
    wait()
  end
  if has_address(server, assignment) then return true end
  pool.moving[assignment.slot] = ""
  if not last then server:set_maint() end
  return false
end

-- Applies an assignment to the server of its slot. `wait` is a function that lets HAProxy work for
-- a moment; it is nil before the first request, when a script cannot wait.
local function apply(assignment, wait)
  local pool, slot = pools[assignment.backend], assignment.slot
  local server = pool.servers[slot]
  retries[slot_key(assignment)] = nil
  if assignment.state ~= "ready" and is_last(pool, assignment) then
    retries[slot_key(assignment)] = assignment
    return
  end
  if not assignment.ip then -- the slot is free
    set_member(pool, assignment)
    pool.applied[slot], pool.states[slot], pool.moving[slot] = nil, nil, nil
    sprat.forget_changes(assignment.backend, slot)
    server:set_maint()
    return
  end
  local is_other_member = pool.names[slot] ~= assignment.name
  if is_deleted(server) then -- `read_check` reports that it was taken away
    if is_other_member then set_member(pool, assignment) end
    pool.applied[slot], pool.states[slot], pool.moving[slot] = nil, assignment.state, nil
    sprat.forget_changes(assignment.backend, slot)
    return
  end
  if is_new(pool, assignment) then
    pool.others[slot] = nil
  else
    note_others(pool, slot, statistics(server))
  end
  sprat.begin_changes(assignment.backend, slot)
  if needs_move(pool, server, assignment) and not move(pool, server, assignment, wait) then
    if wait then return retry_later(assignment) end
    late[#late + 1] = assignment
    return
  end
  local is_moved = pool.moving[slot] ~= nil
  set_changes(pool, server, assignment)
  if is_other_member then set_member(pool, assignment) end
  if is_other_member or is_moved or pool.states[slot] == "maint" then
    pool.failures[slot], pool.stopped[slot] = failed_checks(statistics(server)), nil
  end
  pool.states[slot] = assignment.state
end

-- Applies an assignment. If that fails with an error, it is tried again later.
local function try_to_apply(assignment, wait)
  local pool, slot = pools[assignment.backend], assignment.slot
  if not pool or not pool.servers[slot] then return end
  if not attempt(describe(pool, slot) .. " cannot be changed", apply, assignment, wait) then
    retries[slot_key(assignment)] = assignment
  end
end

-- Makes a table from the results of `sprat.next_change` or `sprat.remembered`; nil if they returned
-- no assignment.
local function as_assignment(backend, slot, state, weight, ip, port, name, order, is_unguarded)
  if not backend then return nil end
  return {
    backend = backend, slot = slot, state = state, weight = weight, ip = ip, port = port,
    name = name, order = order, is_unguarded = is_unguarded,
  }
end

-- The assignment that is being applied; nil between two assignments. A task that replaces a stuck
-- task begins with this assignment.
local in_progress = nil

local function apply_changes(wait)
  in_progress = in_progress or as_assignment(sprat.next_change())
  while in_progress do
    try_to_apply(in_progress, wait)
    in_progress = as_assignment(sprat.next_change())
  end
end

local function apply_retries(wait)
  local again = {}
  for _, assignment in pairs(retries) do again[#again + 1] = assignment end
  for _, assignment in ipairs(again) do
    in_progress = assignment
    try_to_apply(assignment, wait)
    in_progress = nil
  end
end

-- Restores the assignments of the snapshot before the first request.
core.register_init(function()
  for name, value in pairs(read_values) do
    must((os.getenv("SPRAT_" .. name) or "") == value,
      "setenv SPRAT_" .. name .. " comes after lua-load, which has already read the variable")
  end
  make_pools()
  local n = 1
  local assignment = as_assignment(sprat.remembered(n))
  while assignment do
    try_to_apply(assignment, nil)
    n = n + 1
    assignment = as_assignment(sprat.remembered(n))
  end
  if #late > 0 then
    core.Warning("sprat: this HAProxy takes the addresses of the snapshot only once it runs, so its"
      .. " first requests may find no server; see SPRAT_SERVER_STATE in the README")
  end
end)

----------------------------------------------------------------------------------------------
-- The results of HAProxy's health checks. A suspect that HAProxy does not reach either is drained.

-- Returns whether HAProxy sends requests to a server that should get them. It does not if the
-- health checks find the server "down", or if someone else has "taken away" the server: drained or
-- stopped it, or set its weight to 0. Otherwise the server is "reached".
--
-- HAProxy shows "UP 1/2" when the last check has failed and the previous one has not. It shows the
-- same for a server that was just started and not checked yet. Such a server therefore counts as
-- unreachable only if a check has failed since its start.
local function reach_of(pool, slot, stats)
  local others, status = pool.others[slot] or {}, stats.status or ""
  if others.stops_requests and pool.states[slot] == "ready" then return "taken away" end
  if status:match("^DOWN") then return "down" end
  local has_failed = failed_checks(stats) > (pool.failures[slot] or 0)
  return status:match("^UP %d") and has_failed and "down" or "reached"
end

-- Compares a server with its assignment, and reports the difference.
local function check_drift(backend, pool, slot, stats)
  local ordered = pool.applied[slot]
  if not ordered or pool.moving[slot] or retries[slot_key(ordered)] then return end
  note_others(pool, slot, stats)
  local text = pool.others[slot].text
  if text ~= (pool.drifts[slot] or "") then
    pool.drifts[slot] = text
    sprat.set_drift(backend, slot, pool.names[slot], text)
  end
end

local round, next_in_round = {}, 1 -- the servers of this round, and the index of the next to read

local function begin_round()
  if next_in_round <= #round then return end -- the previous round is not over
  round, next_in_round = {}, 1
  for backend, pool in pairs(pools) do
    for slot in pairs(pool.states) do round[#round + 1] = { backend, slot } end
  end
end

-- Notes whether HAProxy has a server in maintenance. A server that leaves maintenance, whoever has
-- ended it, starts anew.
local function note_start(pool, slot, stats)
  local is_stopped = (stats.status or ""):match("^MAINT") ~= nil
  if pool.stopped[slot] and not is_stopped then pool.failures[slot] = failed_checks(stats) end
  pool.stopped[slot] = is_stopped
end

-- Reads the result of the health checks of a server. An unreachable server is reported in each
-- round: if its slot was given away and given back in between, which the script does not see, the
-- last report no longer counts.
local function read_check(backend, slot)
  local pool = pools[backend]
  local state, reach = pool.states[slot], "reached"
  if state and is_deleted(pool.servers[slot]) then
    reach = "taken away"
  elseif state then
    local stats = statistics(pool.servers[slot])
    note_start(pool, slot, stats)
    check_drift(backend, pool, slot, stats)
    if state ~= "maint" then reach = reach_of(pool, slot, stats) end
  end
  if reach ~= "reached" or (pool.reach[slot] or reach) ~= reach then
    pool.reach[slot] = reach
    sprat.set_reach(backend, slot, pool.names[slot], reach)
  end
end

-- Returns true if HAProxy has taken a server of some backend out of rotation since the last call.
-- This is much faster than reading every server. The servers are then read immediately, because a
-- backend whose last server is gone answers 503 until the controller knows.
local function has_lost_server()
  local is_lost = false
  for _, pool in pairs(pools) do
    local stats = statistics(pool.proxy)
    local usable = (tonumber(stats.act) or 0) + (tonumber(stats.bck) or 0)
    is_lost = is_lost or usable < pool.usable
    pool.usable = usable
  end
  return is_lost
end

-- Reads a few results at a time: while the script reads, HAProxy serves no requests on this thread.
local function read_checks()
  local last = math.min(next_in_round + CHECKS_AT_ONCE - 1, #round)
  for n = next_in_round, last do
    local backend, slot = round[n][1], round[n][2]
    attempt(describe(pools[backend], slot) .. " cannot be read", read_check, backend, slot)
  end
  next_in_round = last + 1
end

----------------------------------------------------------------------------------------------
-- Lists and maps of members, in which HAProxy can look up an address for each request.

-- A table for each file. `current` returns the entries that the file should have, `entries` holds
-- those that it has, and `failed` is set once HAProxy has refused a change.
local lists = {}

-- Parses lines of an address, a space and a value.
local function parse_entries(text)
  if not text then return nil end
  local entries = {}
  for ip, value in text:gmatch("(%S+) ([^\n]*)\n") do entries[ip] = value end
  return entries
end

if env("MEMBERS_ACL") then
  local file = env("MEMBERS_ACL")
  lists[#lists + 1] = {
    file = file, entries = {},
    current = function() return parse_entries(sprat.addresses()) end,
    add = function(ip) core.add_acl(file, ip) end,
    del = function(ip) core.del_acl(file, ip) end,
  }
end

-- SPRAT_MEMBERS_MAP: "/etc/haproxy/names.map /etc/haproxy/roles.map:role"
for word in env("MEMBERS_MAP", ""):gmatch("%S+") do
  local file, tag = word:match("^(.+):([^:]+)$")
  file = file or word
  lists[#lists + 1] = {
    file = file, entries = {},
    current = function() return parse_entries(sprat.map(tag or "")) end,
    add = function(ip, value) core.set_map(file, ip, value) end,
    del = function(ip) core.del_map(file, ip) end,
  }
end

local function update_list(list)
  local current = list.current()
  if not current then return end
  local ok, why = pcall(function()
    for ip, value in pairs(current) do
      if list.entries[ip] ~= value then list.add(ip, value) end
    end
    for ip in pairs(list.entries) do
      if not current[ip] then list.del(ip) end
    end
  end)
  if not ok then
    list.failed = true
    core.Alert("sprat: " .. list.file .. " cannot be updated, because the configuration uses no"
      .. " list or map of this file: " .. tostring(why))
  end
  list.entries = current
end

local function update_lists()
  for _, list in ipairs(lists) do
    if not list.failed then update_list(list) end
  end
end

----------------------------------------------------------------------------------------------
-- The task

-- Returns the time in milliseconds. The task itself does not know how much time has passed between
-- two of its turns.
local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec // 1000
end

-- Returns a function that returns true at its first call, and later only if at least this time has
-- passed since it last returned true, or if the clock was set back.
local function every(ms)
  local last = nil
  return function()
    local now = now_ms()
    if last and now >= last and now - last < ms then return false end
    last = now
    return true
  end
end

local function is_stopping()
  return (tonumber(core.get_info().Stopping) or 0) ~= 0
end

-- Opens a connection to the node's handover socket. A stopping HAProxy ends with its last
-- connection, which would be too early to leave the cluster; this connection keeps it alive until
-- the node ends.
local function stay_alive()
  local name = sprat.phase() == "running" and sprat.handover_socket()
  if not name then return nil end
  local socket = core.tcp()
  local ok, connected = pcall(socket.connect, socket, "abns@" .. name)
  return ok and connected and socket or nil
end

local function log_notices()
  local level, text = sprat.next_notice()
  while level do
    core[level]("sprat: " .. text) -- core.Info, core.Warning or core.Alert
    level, text = sprat.next_notice()
  end
end

-- Hands the port over to a successor, or leaves the cluster.
local function stop(connection)
  sprat.release(HANDOVER_MS)
  local ends = now_ms() + HANDOVER_MS + LEAVE_MS
  while sprat.phase() ~= "released" and now_ms() < ends do core.msleep(10) end
  log_notices() -- among them the members that have not acknowledged the leave
  if connection then pcall(connection.close, connection) end
end

-- Logs that the node does not run: first after 2 seconds, which is longer than a handover takes,
-- and then every minute.
local not_running_since, is_log_due = nil, nil

local function watch_node()
  local phase, why = sprat.phase()
  if (phase ~= "starting" and phase ~= "broken") or not why then
    not_running_since = nil
    return
  end
  if not not_running_since then not_running_since, is_log_due = now_ms(), every(60000) end
  if now_ms() - not_running_since >= 2000 and is_log_due() then
    core.Alert("sprat: the node is " .. phase .. ": " .. why .. "; the servers stay as they are")
  end
end

-- The task that serves has a number. A task that HAProxy no longer wakes, or that has ended with an
-- error, is replaced by a task with the next number. Otherwise the servers would silently stop
-- following the members.
local task, served_at, is_serving = 1, 0, false
local connection = nil -- the connection that keeps a stopping HAProxy alive

-- Notes that this task runs; ends the task if another one has replaced it.
local function beat(number)
  if number ~= task then error(SUPERSEDED, 0) end
  served_at = core.now().sec
end

local function serve(number)
  local applied, listed = -1, -1 -- the generations last applied to servers and to lists
  local are_checks_due, are_lists_due = every(CHECKS_MS), every(LISTS_MS)
  local is_stop_due = every(STOP_MS)
  local function wait()
    core.yield()
    beat(number)
  end
  while true do
    beat(number)
    local generation = sprat.generation()
    if generation ~= applied then
      apply_changes(wait)
      applied = generation
    end
    if generation ~= listed and are_lists_due() then
      listed = generation
      update_lists()
    end
    if has_lost_server() then begin_round() end
    if are_checks_due() then
      apply_retries(wait)
      begin_round()
      watch_node()
      log_notices()
      connection = connection or stay_alive()
    end
    read_checks()
    if is_stop_due() and is_stopping() then
      is_serving = false
      return stop(connection)
    end
    core.msleep(POLL_MS)
  end
end

-- Serves as the task of this number. An error is logged by HAProxy.
local function run(number)
  local ok, why = pcall(serve, number)
  if not ok and why ~= SUPERSEDED then error(why, 0) end
end

-- Returns the seconds since a task last served; nil if no task should serve.
local function stuck_for()
  return is_serving and core.now().sec - served_at or nil
end

----------------------------------------------------------------------------------------------
-- User events. Functions of the operator get them in a task of their own: a function that is slow
-- delays other events, and an error is logged, but servers still follow their members.

local event_functions = {}
local is_event_task_running = false
local is_failure_due, failed_calls = every(60000), 0

local function call_with_event(call, event)
  local ok, why = pcall(call, event)
  if ok then return end
  failed_calls = failed_calls + 1
  if not is_failure_due() then return end
  core.Alert("sprat: a function of on_event failed (" .. failed_calls
    .. " times since the last such line): " .. tostring(why))
  failed_calls = 0
end

local function hand_on_events()
  while is_serving do
    local name, payload, ltime, coalesce = sprat.next_event()
    if name then
      for _, call in ipairs(event_functions) do
        call_with_event(call, { name = name, payload = payload, ltime = ltime, coalesce = coalesce })
      end
      core.yield()
    else
      core.msleep(POLL_MS)
    end
  end
end

local function start_event_task()
  if is_event_task_running or not is_serving or #event_functions == 0 then return end
  is_event_task_running = true
  core.register_task(hand_on_events)
end

-- Calls a function with each user event of the cluster from now on: a table with `name`, `payload`,
-- `ltime` and `coalesce`. Another script that is loaded after this one gets the module with
-- `require("sprat")`.
function sprat.on_event(call)
  if type(call) ~= "function" then error("sprat.on_event: a function is needed", 2) end
  event_functions[#event_functions + 1] = call
  start_event_task()
end

----------------------------------------------------------------------------------------------
-- The start

local function replace_stuck_tasks()
  while is_serving do
    core.msleep(1000)
    local seconds = stuck_for()
    if seconds and seconds >= STUCK_S then
      task, served_at = task + 1, core.now().sec
      core.Alert("sprat: no server was changed for " .. seconds .. " s, because the task that"
        .. " changes servers did not run; a new task replaces it")
      local number = task
      core.register_task(function() run(number) end)
    end
  end
end

local function warn_of_unknown_variables()
  local names = {}
  for name in pairs(read_values) do names[#names + 1] = name end
  local unknown = sprat.unknown_variables(table.concat(names, " "))
  if unknown then core.Warning("sprat: ignored unknown settings: " .. unknown) end
end

if IS_FIRST then warn_of_unknown_variables() end

core.register_task(function()
  if not IS_FIRST then return end
  for _, assignment in ipairs(late) do try_to_apply(assignment, core.yield) end
  local ok, why = sprat.start()
  if not ok then
    core.Alert("sprat: " .. why .. "; the servers stay as they are")
    return
  end
  is_serving, served_at = true, core.now().sec
  core.register_task(replace_stuck_tasks)
  start_event_task()
  run(task)
end)

----------------------------------------------------------------------------------------------
-- The runtime CLI, converters and fetches

local function send_line(applet, text)
  applet:send(text .. "\n")
end

core.register_cli({ "show", "sprat" },
  "show sprat [json] : show the members, the slots, and the reason for each server that is held",
  function(applet, ...)
    if select(select("#", ...), ...) == "json" then
      applet:send((sprat.show_json()) or "{}\n")
      return
    end
    local phase, why, silent = sprat.phase()
    send_line(applet, "node " .. (phase or why)
      .. (silent and ", active " .. silent .. " ms ago" or "")
      .. (phase and why and ": " .. why or ""))
    local seconds = stuck_for() or 0
    if seconds >= STUCK_S then
      send_line(applet, "no server was changed for " .. seconds .. " s")
    end
    send_line(applet, (sprat.show()) or "")
  end)

-- Answers a command that was carried out. If the snapshot does not have it within a moment, the
-- answer says so.
local function send_done(applet)
  local ends = now_ms() + SAVE_MS
  local saved, remark = sprat.saved()
  while saved == nil and now_ms() < ends do
    core.msleep(10)
    saved, remark = sprat.saved()
  end
  send_line(applet, remark and "done, but " .. remark or "done")
end

local function register_freeze(word, frozen, text)
  core.register_cli({ "sprat", word }, "sprat " .. word .. " : " .. text, function(applet)
    local ok, why = sprat.freeze(frozen)
    if not ok then return send_line(applet, "error: " .. why) end
    send_done(applet)
  end)
end

register_freeze("freeze", true, "stop removing servers, except those whose members ask for it")
register_freeze("thaw", false, "allow removals of servers again")

local function register_order(state, text)
  core.register_cli({ "sprat", state }, "sprat " .. state .. " [BACKEND/]MEMBER : " .. text,
    function(applet, ...)
      local name = table.concat({ ... }, " ", 3) -- after the two words of the command
      if name == "" then
        send_line(applet, "error: `sprat " .. state .. "` needs the name of a member")
        return
      end
      local ok, why = sprat.order(name, state)
      if not ok then return send_line(applet, "error: " .. why) end
      send_done(applet)
    end)
end

register_order("drain", "drain the server of a member until `sprat auto`")
register_order("maint", "stop the server of a member until `sprat auto`")
register_order("ready", "keep the server of a member ready until `sprat auto`")
register_order("auto", "withdraw the order for the server of a member")

-- The converters `lua.sprat_ip`, `lua.sprat_port` and `lua.sprat_name` return the address, port and
-- name of the member for a key, by rendezvous hashing among the members of the first backend. For
-- example: `http-request set-dst url_param(user),lua.sprat_ip`. The result is "" if no member
-- serves.
local function register_converter(name, part)
  core.register_converters(name, function(key)
    local results = { sprat.pick(tostring(key), 1) }
    return results[1] and results[part] or ""
  end)
end

register_converter("sprat_ip", 1)
register_converter("sprat_port", 2)
register_converter("sprat_name", 3)

-- The fetch `lua.sprat_pick(url_param,user)` picks a member for the value of another fetch. It
-- returns the name of the member, and sets txn.sprat.ip and txn.sprat.port. If no member serves, it
-- returns "" and unsets both variables.
local unknown_fetches = {} -- the names that have been logged

-- Returns the value of another fetch as a key; nil if that fetch has no value.
local function fetch_key(txn, fetch, ...)
  local found, key = pcall(function(...) return txn.f[fetch](txn.f, ...) end, ...)
  if not found and not unknown_fetches[fetch or ""] then
    unknown_fetches[fetch or ""] = true
    core.Warning("sprat: the fetch " .. (fetch or "") .. " cannot be used for a key: "
      .. tostring(key))
  end
  return found and key and key ~= "" and tostring(key) or nil
end

core.register_fetches("sprat_pick", function(txn, fetch, ...)
  local key = fetch_key(txn, fetch, ...)
  local ip, port, name
  if key then ip, port, name = sprat.pick(key, 1) end
  if not name then
    txn:unset_var("txn.sprat.ip")
    txn:unset_var("txn.sprat.port")
    return ""
  end
  txn:set_var("txn.sprat.ip", ip)
  txn:set_var("txn.sprat.port", port)
  return name
end)

-- The fetch `lua.sprat_server(url_param,user)` returns the name of the server of the member for the
-- key, for `use-server`: HAProxy still checks that server, limits its connections and redispatches.
-- The fetch returns "" if there is no such server.
core.register_fetches("sprat_server", function(txn, fetch, ...)
  local key = fetch_key(txn, fetch, ...)
  local server = nil
  if key then server = select(4, sprat.pick(key, 1)) end
  return server or ""
end)

-- The fetch `lua.sprat_member` is true if a member has the given address in the cluster. Without an
-- argument, the address is the source address of the request.
core.register_fetches("sprat_member", function(txn, ip)
  return sprat.is_member(ip or txn.f:src()) == true
end)
