/** `gears dashboard`: a page in the browser that shows how all stands, for whoever started it. */

import type { Address } from '../connection.js';
import { dashboardServer } from '../dashboard/serve.js';
import { Guard } from '../dashboard/guard.js';
import type { Output } from '../output.js';
import { Places } from '../places.js';
import { projectOf } from '../project.js';
import { Watch } from '../watch/watch.js';
import { listen, untilAskedToEnd } from './exporter.js';

export interface DashboardOptions extends Address {
    readonly port: number;
    readonly interval: number;
    readonly mostConsumers: number;
    readonly project?: string;
}

/** So much of the past is kept for the plots. */
const KEEP_MS = 15 * 60_000;
/** No option: whoever wants it elsewhere tunnels to it, and so has a user of this machine. */
const HOST = '127.0.0.1';

export async function dashboard(options: DashboardOptions, output: Output): Promise<void> {
    const watch = new Watch(options, {
        intervalMs: options.interval * 1000,
        mostConsumers: options.mostConsumers,
        keepMs: KEEP_MS,
        places: new Places(projectOf(options.project)),
    });
    const guard = new Guard();
    const server = dashboardServer(watch, guard);
    try {
        await watch.start();
        const port = await listen(server, options.port, HOST);
        const url = `http://${HOST}:${port}/#${guard.token}`;
        output.event({ url }, `The dashboard is at ${url}\nWho has this URL can do what you can. Ctrl-C ends it.`);
        await untilAskedToEnd();
    } finally {
        watch.stop();
        server.closeAllConnections();
        server.close();
    }
}
