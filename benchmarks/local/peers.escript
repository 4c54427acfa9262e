#!/usr/bin/env escript
%%! +P 4000000
%% The side of Erlang in each question about one process: escript peers.escript QUESTION OPERATIONS.
%% It works in turns, see erlang.py.
-mode(compile).

main([Question, Operations]) ->
    answer(Question, list_to_integer(Operations)).

turn(Work) ->
    io:format("ready~n"),
    _ = io:get_line(""),
    io:format("done ~w~n", [Work()]).

answer("ping_pong", Messages) ->
    ping_pong(Messages div 20),
    turn(fun() -> ping_pong(Messages div 2) end);
answer("ring", Hops) ->
    ring(max(1, Hops div 10000)),
    turn(fun() -> ring(Hops div 1000) end);
answer("fan_in", Messages) ->
    fan_in(Messages div 1000),
    turn(fun() -> fan_in(Messages div 100) end);
answer("broadcast", Deliveries) ->
    broadcast(max(1, Deliveries div 1000)),
    turn(fun() -> broadcast(Deliveries div 100) end);
answer("spawn", Processes) ->
    spawn_short(Processes div 1000),
    turn(fun() -> spawn_short(Processes div 100) end);
answer("park", Count) ->
    Self = self(),
    turn(fun() ->
        put(parked, [spawn_link(fun() -> Self ! parked, receive go -> Self ! over end end) || _ <- lists:seq(1, Count)]),
        await(parked, Count)
    end),
    turn(fun() ->
        [Pid ! go || Pid <- get(parked)],
        await(over, Count)
    end);
answer("sleepers", Sleeps) ->
    Sleepers = min(10000, Sleeps),
    turn(fun() -> sleepers(Sleepers, Sleeps div Sleepers) end);
answer("finishers", Waiters) ->
    finishers(max(1, Waiters div 10)),
    finishers(Waiters).

await(_, 0) -> 0;
await(What, Count) -> receive What -> await(What, Count - 1) end.

%% Two processes, neither of them this one, which has more to remember.
ping_pong(Trips) ->
    Self = self(),
    Pong = spawn_link(fun() -> pong(Trips) end),
    spawn_link(fun() -> ping(Pong, Trips), Self ! over end),
    await(over, 1).

ping(_, 0) -> ok;
ping(Pong, Trips) ->
    Pong ! self(),
    receive pong -> ping(Pong, Trips - 1) end.

pong(0) -> ok;
pong(Trips) ->
    receive Ping -> Ping ! pong, pong(Trips - 1) end.

%% 1000 processes; each passes the token on once a lap.
ring(Laps) ->
    Self = self(),
    Nodes = [First | Others] =
        [spawn_link(fun() -> receive {follower, Next} -> pass(Next, Laps), Self ! over end end) || _ <- lists:seq(1, 1000)],
    lists:foreach(fun({Node, Next}) -> Node ! {follower, Next} end, lists:zip(Nodes, Others ++ [First])),
    First ! token,
    await(over, 1000).

pass(_, 0) -> ok;
pass(Next, Laps) -> receive token -> Next ! token, pass(Next, Laps - 1) end.

%% 100 senders, one receiver.
fan_in(Each) ->
    Self = self(),
    Receiver = spawn_link(fun() -> await(1, 100 * Each), Self ! over end),
    [spawn_link(fun() -> send_times(Receiver, Each) end) || _ <- lists:seq(1, 100)],
    await(over, 1).

send_times(_, 0) -> ok;
send_times(Receiver, Times) -> Receiver ! 1, send_times(Receiver, Times - 1).

%% To 100 subscribers, of whom the last one answers each time.
broadcast(Messages) ->
    Self = self(),
    spawn_link(fun() ->
        Own = self(),
        Others = [spawn_link(fun() -> await(1, Messages), Self ! over end) || _ <- lists:seq(1, 99)],
        Last = spawn_link(fun() -> answer_each(Own, Messages), Self ! over end),
        publish(Others ++ [Last], Messages)
    end),
    await(over, 100).

answer_each(_, 0) -> ok;
answer_each(Publisher, Messages) -> receive 1 -> Publisher ! next, answer_each(Publisher, Messages - 1) end.

publish(_, 0) -> ok;
publish(Subscribers, Messages) ->
    [Pid ! 1 || Pid <- Subscribers],
    await(next, 1),
    publish(Subscribers, Messages - 1).

%% In batches of 100; the end of each is awaited with its result.
spawn_short(0) -> 0;
spawn_short(Batches) ->
    Batch = [spawn_monitor(fun() -> exit({result, Number}) end) || Number <- lists:seq(0, 99)],
    4950 = lists:sum([receive {'DOWN', Ref, process, Pid, {result, Number}} -> Number end || {Pid, Ref} <- Batch]),
    spawn_short(Batches - 1).

%% By how many milliseconds 99 of 100 were late at most.
sleepers(Sleepers, Times) ->
    Self = self(),
    [spawn_link(fun() -> Self ! {late, sleep_times(500 + 1000 * Index div Sleepers, Times, [])} end)
        || Index <- lists:seq(0, Sleepers - 1)],
    Late = lists:sort(lists:append([receive {late, Some} -> Some end || _ <- lists:seq(1, Sleepers)])),
    lists:nth(max(1, ceil(length(Late) * 0.99)), Late).

sleep_times(_, 0, Late) -> Late;
sleep_times(Milliseconds, Times, Late) ->
    Begin = erlang:monotonic_time(microsecond),
    timer:sleep(Milliseconds),
    Took = erlang:monotonic_time(microsecond) - Begin,
    sleep_times(Milliseconds, Times - 1, [Took / 1000 - Milliseconds | Late]).

%% Many wait for the end of one.
finishers(Waiters) ->
    Self = self(),
    Target = spawn_link(fun() -> receive go -> ok end end),
    [spawn_link(fun() ->
        Ref = monitor(process, Target),
        Self ! waiting,
        receive {'DOWN', Ref, process, Target, _} -> Self ! over end
    end) || _ <- lists:seq(1, Waiters)],
    await(waiting, Waiters),
    turn(fun() -> Target ! go, await(over, Waiters) end).
