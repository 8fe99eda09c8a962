--- A script that is interrupted as from the keyboard.
local tap = ...

--- Runs a script until it prints "ready", interrupts it, and returns the rest
-- of its output, its stderr and its status. `who` gets the signal: $p is the
-- program, -$p its process group. `rest`: more for the shell to do then.
return function(script, who, rest)
  assert(who == nil or who == "$p" or who == "-$p")
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
  end
  local out, err, status = tap.run(string.format([[
    rm -f %s.fifo; mkfifo %s.fifo
    setsid %s %s >%s.fifo & p=$!
    exec 3<%s.fifo
    read line <&3
    kill -s INT -- %s
    %s
    cat <&3
    wait $p]], name, name, tap.program, name, name, name, who or "$p",
    rest or ""))
  os.remove(name)
  os.remove(name .. ".fifo")
  return out, err:gsub("^[^\n]*" .. name:gsub("%p", "%%%0"), "FILE"), status
end
