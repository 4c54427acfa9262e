#!/usr/bin/env escript
%% The side of Erlang in each question about two processes: escript nodes.escript server|client QUESTION OPERATIONS.
%% Both work in turns, see local/erlang.py; that of the server lasts until it is killed, or its input ends.
-mode(compile).

-define(SERVER, {server, 'server@127.0.0.1'}).

%% 8 MiB, as in bulk.py.
-define(ARRAY_BYTES, 8388608).

main(["server", Question, _]) ->
    register(server, spawn_link(fun() -> serve(Question) end)),
    io:format("ready~n"),
    _ = io:get_line("");
main(["client", Question, Operations]) ->
    true = net_kernel:connect_node('server@127.0.0.1'),
    ask(Question, list_to_integer(Operations)).

turn(Work) ->
    io:format("ready~n"),
    _ = io:get_line(""),
    io:format("done ~w~n", [Work()]).

serve("round_trip") -> echo();
serve("outstanding") -> echo();
serve("busy_server") ->
    spawn_link(fun() -> burn(0) end),
    echo();
serve("one_way") -> take(fun({_, <<"small">>}) -> ok end);
serve("bulk") -> take(fun({_, Array}) -> ?ARRAY_BYTES = byte_size(Array) end).

echo() ->
    receive {From, Number} -> From ! Number end,
    echo().

burn(Number) -> burn(Number + 1).

%% As many messages as announced, numbered; the sender hears when they have all come.
take(Check) ->
    receive {From, all, Messages} -> ok end,
    lists:foreach(fun(Number) -> receive Message -> Number = element(1, Message), Check(Message) end end,
        lists:seq(1, Messages)),
    From ! {taken, Messages},
    take(Check).

%% The first turn says the median of the times, the second what 99 of 100 took at most; both in microseconds.
ask(Question, Trips) when Question =:= "round_trip"; Question =:= "busy_server" ->
    Pause = pause(Question),
    elsewhere(fun() -> trips(Trips div 10, Pause, []) end),
    turn(fun() ->
        put(times, lists:sort(elsewhere(fun() -> trips(Trips, Pause, []) end))),
        percentile(50)
    end),
    turn(fun() -> percentile(99) end);
ask("outstanding", Requests) ->
    outstanding(max(1, Requests div 1000)),
    turn(fun() -> outstanding(Requests div 100) end);
ask("one_way", Messages) ->
    elsewhere(fun() -> send_all(Messages div 10, <<"small">>) end),
    turn(fun() -> elsewhere(fun() -> send_all(Messages, <<"small">>) end) end);
ask("bulk", Arrays) ->
    Array = rand:bytes(?ARRAY_BYTES),
    elsewhere(fun() -> send_all(max(1, Arrays div 10), Array) end),
    turn(fun() -> elsewhere(fun() -> send_all(Arrays, Array) end) end).

%% In a process of its own, since this one has more to remember.
elsewhere(Work) ->
    Self = self(),
    spawn_link(fun() -> Self ! {result, Work()} end),
    receive {result, Result} -> Result end.

%% Between messages, in busy_server.py, too.
pause("busy_server") -> fun() -> timer:sleep(rand:uniform(7)) end;
pause(_) -> fun() -> ok end.

trips(0, _, Times) -> Times;
trips(Trips, Pause, Times) ->
    Pause(),
    Begin = erlang:monotonic_time(nanosecond),
    ?SERVER ! {self(), Trips},
    receive Trips -> ok end,
    trips(Trips - 1, Pause, [erlang:monotonic_time(nanosecond) - Begin | Times]).

percentile(Percent) ->
    Times = get(times),
    lists:nth(max(1, ceil(length(Times) * Percent / 100)), Times) / 1000.

%% 100 processes, each with one request under way.
outstanding(Each) ->
    Self = self(),
    [spawn_link(fun() -> requests(Each), Self ! over end) || _ <- lists:seq(1, 100)],
    [receive over -> ok end || _ <- lists:seq(1, 100)],
    0.

requests(0) -> ok;
requests(Requests) ->
    ?SERVER ! {self(), Requests},
    receive Requests -> requests(Requests - 1) end.

send_all(Messages, Content) ->
    ?SERVER ! {self(), all, Messages},
    lists:foreach(fun(Number) -> ?SERVER ! {Number, Content} end, lists:seq(1, Messages)),
    receive {taken, Messages} -> 0 end.
