/** What the dashboard's server answers. */

export interface Consumer {
    library: string;
    consumer: string;
    /** `host:port`; null outside a cluster. */
    shard: string | null;
    state: string;
    reason: string | null;
    error: string | null;
    trouble: 'stopped' | 'failing' | 'behind' | 'paused' | 'none';
    dead_letter: string | null;
    streams: number;
    blocked_streams: number;
    processed: number;
    in_flight: number;
    attempts: number;
    failures: number;
    given_up: number;
    dead_letters: number;
    filtered: number;
    redriven: number;
    rate: number | null;
    failure_rate: number | null;
    backlog_entries: number | null;
    backlog_exact: boolean;
    age_ms: number;
    lag_ms_p50: number;
    lag_ms_p99: number;
    lag_ms_max: number | null;
    processing_ms_p50: number;
    processing_ms_p99: number;
    processing_ms_max: number | null;
    locked_ms: number | null;
    last_error: string | null;
    last_error_stack: string | null;
    last_error_id: string | null;
    last_error_time: number;
    error_classes: Record<string, number>;
}

export interface Callback {
    kind: 'function' | 'trigger';
    library: string;
    name: string;
    shard: string | null;
    state: string;
    calls: number;
    errors: number;
    rate: number | null;
    failure_rate: number | null;
    duration_ms_p50: number | null;
    duration_ms_p99: number | null;
    duration_ms_max: number | null;
    locked_ms: number | null;
    waiting: number;
    last_error: string | null;
}

export interface Library {
    name: string;
    engine: string;
    owner: string;
    quarantine: string | null;
    pending_jobs: number;
    version: number | null;
    loaded_at: number | null;
    functions: number;
    consumers: number;
    triggers: number;
    heap: number;
    buffers: number;
    memory_limit: number;
}

export interface Standing {
    problem: string | null;
    time?: number;
    server: {
        product: string;
        version: string;
        role: string;
        uptime_s: number;
        used_memory: number;
        clients: number;
        commands_per_second: number;
    } | null;
    memory: { used: number; limit: number; streams: number };
    left_out: number;
    shards: number;
    libraries: Library[];
    consumers: Consumer[];
    callbacks: Callback[];
}

export interface Stream {
    name: string;
    db: number;
    state: string;
    position: string;
    pending: number;
    behind_ms: number;
    processed: number;
    last_error: string | null;
}

export interface Letter {
    letter: string;
    stream: string;
    /** The stream's key, in base64. */
    key: string;
    id: string;
    error: string;
    stack: string | null;
    attempts: number;
    redrives: number;
    time: number;
    fields: [string, string][];
}

export interface SlowCall {
    id: number;
    time: number;
    duration_ms: number;
    library: string;
    kind: string;
    callback: string;
    shard: string | null;
    key: string | null;
    entry_id: string | null;
    stack: string | null;
}
