// What an order is. Nothing here needs the server, so tests can call it directly.

export interface Order {
    readonly customer: string;
    readonly amount: number;
}

/** Reads an entry of a stream of orders. What can never be booked is fatal: it is not tried again. */
export function readOrder(record: readonly (readonly [string | null, string | null])[]): Order {
    const fields = new Map(record);
    const customer = fields.get('customer');
    const amount = fields.get('amount');
    if (customer == null || amount == null || !/^-?\d{1,15}$/.test(amount)) {
        throw Object.assign(new Error('an order has a customer and a whole amount'), { fatal: true });
    }
    return { customer, amount: Number(amount) };
}
