/** Asks the dashboard's server, and says who asks. */

// The URL's fragment has the token. It goes from the address bar, where it could be read over a shoulder, and stays for
// as long as the tab does.
const fragment = location.hash.slice(1);
if (fragment !== '') {
    sessionStorage.setItem('token', fragment);
    history.replaceState(null, '', location.pathname);
}
const headers = { authorization: `Bearer ${sessionStorage.getItem('token') ?? ''}` };

export async function ask<T>(question: string, of: Record<string, string | number> = {}): Promise<T> {
    const query = new URLSearchParams(Object.entries(of).map(([name, value]) => [name, String(value)]));
    return read(await fetch(`api/${question}?${query}`, { headers }));
}

export async function tell<T>(what: string, body: unknown): Promise<T> {
    return read(
        await fetch(`api/${what}`, {
            method: 'POST',
            headers: { ...headers, 'content-type': 'application/json' },
            body: JSON.stringify(body),
        }),
    );
}

async function read<T>(response: Response): Promise<T> {
    const value = (await response.json()) as T & { error?: string };
    if (!response.ok) {
        throw new Error(value.error ?? `the dashboard answered ${response.status}`);
    }
    return value;
}
